import { appendEvent } from "../store/events.ts"
import type { Sql } from "../store/sql.ts"
import type { IdentityContext } from "./context.ts"
import { MAIL_SUBJECTS, type MailKind, mailText, type SendMail } from "./mail.ts"
import { issueOneTimeToken, type OneTimePurpose } from "./one_time.ts"
import type { Later } from "./revocation_log.ts"
import { findUserByLogin, type User } from "./users.ts"

/** What brings a mail. What it says, and whether it is sent at all, is decided when it is sent. */
export type MailCause = "registration" | "password_reset" | "password_changed"

/**
 * Mail on its way, kept in the table of events until it is sent. A row names a login, whether there is an account
 * or not, and no secret: a token is made when the mail is, and voids the one of the try before.
 */
export interface MailOutbox {
  /** With the transaction of `sql`; call `wake` after it. `login`: normalised. */
  add(sql: Sql, cause: MailCause, login: string): Promise<void>
  /** Has what is due delivered soon, in the background. */
  wake(): void
  /** Delivers what is due. Does not reject. */
  deliver(): Promise<void>
  /** No timer is left. */
  close(): void
}

/** About ten minutes with doubling delays from 5 s. */
const MAX_ATTEMPTS = 8
const FIRST_RETRY_MS = 5000
/** Longer than sending can take: only then another gateway may try the same. */
const LEASE_MS = 120_000
/** Rows read at once. */
const BATCH = 100
const KEPT_MS: Record<MailCause, number> = {
  registration: 172_800_000,
  password_reset: 3_600_000,
  password_changed: 172_800_000,
}
/** Which mails bear a token. */
const PURPOSES: Partial<Record<MailKind, OneTimePurpose>> = {
  password_reset_requested: "password_reset",
  email_verification_requested: "email_verification",
}
/** How long an event without a token waits to be read. */
const NOTICE_TTL_MS = 172_800_000

interface Pending {
  readonly login: string
  readonly attempts: number
  readonly dueAt: number
}

interface Row {
  readonly id: string
  readonly type: `mail.${MailCause}`
  readonly payload: string
}

/** `later`: runs something after so many ms, and gives back how to call that off. */
export function createMailOutbox(context: IdentityContext, send: SendMail, later: Later): MailOutbox {
  const { store, settings, wallClock, log, count } = context
  let running: Promise<void> | undefined
  let again = false
  let cancel: (() => void) | undefined
  let closed = false

  function wakeIn(ms: number): void {
    cancel?.()
    if (!closed) cancel = later(ms, () => void deliver())
  }

  function deliver(): Promise<void> {
    cancel?.()
    again = running !== undefined
    running ??= run().finally(() => {
      running = undefined
      if (again) wakeIn(0)
    })
    return running
  }

  async function run(): Promise<void> {
    try {
      let next = Number.POSITIVE_INFINITY
      // All of them: those that wait for another try must not be in the way of others.
      for (let after: string | undefined = ""; after !== undefined && !closed; ) {
        const rows: readonly Row[] = await store.all<Row>(
          `SELECT id, type, payload FROM events
           WHERE type IN ('mail.registration', 'mail.password_reset', 'mail.password_changed')
             AND expires_at > $1 AND id > $2 ORDER BY id LIMIT ${BATCH}`,
          [wallClock(), after],
        )
        for (const row of rows) {
          const { dueAt } = JSON.parse(row.payload) as Pending
          const retryAt = dueAt > wallClock() ? dueAt : await deliverOne(row)
          if (retryAt !== undefined) next = Math.min(next, retryAt)
        }
        after = rows.length === BATCH ? rows.at(-1)!.id : undefined
      }
      if (next < Number.POSITIVE_INFINITY) wakeIn(Math.max(100, next - wallClock()))
    } catch (error) {
      // The rows are still there: the next call finds them.
      log.error("store.unavailable", { kind: "mail", error })
    }
  }

  /** When it is to be tried again; undefined: it is done with. */
  async function deliverOne(row: Row): Promise<number | undefined> {
    const pending = JSON.parse(row.payload) as Pending
    const claimed = { ...pending, attempts: pending.attempts + 1, dueAt: wallClock() + LEASE_MS }
    if (!(await replace(row, claimed))) return undefined
    const user = await findUserByLogin(store, pending.login)
    const kind = user && kindOf(row.type, user)
    const to = user?.email
    if (user === undefined || kind === undefined || to === undefined) {
      await remove(store, row)
      return undefined
    }
    const { mail } = settings()
    if (mail === undefined) {
      await keepAsEvent(row, kind, user, to)
      return undefined
    }
    const token = await store.transaction((sql) => newToken(sql, kind, user, to))
    const sent = await send(mail, {
      to,
      subject: MAIL_SUBJECTS[kind],
      text: mailText(kind, mail, token?.token),
    })
    count("mail", sent.kind === "sent" ? "success" : "failure")
    if (sent.kind === "sent") {
      await remove(store, row)
      return undefined
    }
    if (sent.kind === "refused" || claimed.attempts >= MAX_ATTEMPTS) {
      log.error("mail.failed", { about: kind, reason: sent.reason, attempts: claimed.attempts })
      await keepAsEvent(row, kind, user, to)
      return undefined
    }
    const dueAt = wallClock() + FIRST_RETRY_MS * 2 ** (claimed.attempts - 1)
    await replace({ ...row, payload: JSON.stringify(claimed) }, { ...claimed, dueAt })
    return dueAt
  }

  /** False: another gateway was faster. */
  async function replace(row: Row, pending: Pending): Promise<boolean> {
    const text = "UPDATE events SET payload = $3 WHERE id = $1 AND payload = $2"
    return (await store.run(text, [row.id, row.payload, JSON.stringify(pending)])) === 1
  }

  async function newToken(sql: Sql, kind: MailKind, user: User, email: string) {
    const purpose = PURPOSES[kind]
    return purpose && issueOneTimeToken(context, sql, purpose, { userId: user.id, email })
  }

  /** For operators and whoever delivers events: with the token, for the time it is good for. */
  async function keepAsEvent(row: Row, kind: MailKind, user: User, email: string): Promise<void> {
    await store.transaction(async (sql) => {
      const issued = await newToken(sql, kind, user, email)
      const payload = { user_id: user.id, email, ...(issued && { token: issued.token }) }
      const at = wallClock()
      await appendEvent(sql, `auth.${kind}`, payload, at, issued?.expiresAt ?? at + NOTICE_TTL_MS)
      await remove(sql, row)
    })
  }

  return {
    async add(sql, cause, login) {
      const at = wallClock()
      const pending: Pending = { login, attempts: 0, dueAt: at }
      await appendEvent(sql, `mail.${cause}`, pending, at, at + KEPT_MS[cause])
    },
    wake: () => wakeIn(0),
    deliver,
    close() {
      closed = true
      cancel?.()
    },
  }
}

/** undefined: there is nothing to tell. */
function kindOf(type: Row["type"], { status, emailVerifiedAt }: User): MailKind | undefined {
  if (status !== "active") return undefined
  switch (type) {
    case "mail.registration":
      return emailVerifiedAt === undefined ? "email_verification_requested" : "registration_repeated"
    case "mail.password_reset":
      return "password_reset_requested"
    case "mail.password_changed":
      return "password_changed"
  }
}

async function remove(sql: Sql, { id }: Row): Promise<void> {
  await sql.run("DELETE FROM events WHERE id = $1", [id])
}
