import { createIdentityApp } from "../../src/admin/auth/app.ts"
import { identityGroups } from "../../src/cli/identity_app.ts"
import type { Accounts } from "../../src/identity/accounts.ts"
import type { AuditRecord, IdentityContext } from "../../src/identity/context.ts"
import type { SendMail } from "../../src/identity/mail.ts"
import type { IdentityRequest, Revocation } from "../../src/identity/messages.ts"
import { createMailOutbox } from "../../src/identity/outbox.ts"
import { loadOwnKeys } from "../../src/identity/own_keys.ts"
import { PasswordHasher } from "../../src/identity/passwords.ts"
import type { Principal } from "../../src/identity/principal.ts"
import type { AuthSettings } from "../../src/identity/settings.ts"
import { createThrottle } from "../../src/identity/throttle.ts"
import { normaliseLogin, type User } from "../../src/identity/users.ts"
import { appendAudit } from "../../src/safety/audit.ts"
import { exampleConfig } from "./config.ts"
import { memoryLog } from "./memory_log.ts"
import { open } from "./store.ts"
import { addUser } from "./user.ts"

/** A password that every policy of the tests takes. */
export const PASSWORD = "correct horse battery"
/** Least of both: the tests hash many. */
const COST = { memoryKiB: 8, passes: 1 }
/** Of `PASSWORD`. */
const HASH = await new PasswordHasher(COST).hash(PASSWORD)
const START = Date.UTC(2026, 0, 1)

export interface Asked {
  readonly body?: unknown
  /** The body as it is written, in place of `body`. */
  readonly raw?: string | Uint8Array
  readonly type?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly client?: string
  readonly principal?: Principal | undefined
}

export interface Answer {
  readonly status: number
  /** `undefined`: an answer that is no failure. */
  readonly code: string | undefined
  readonly retryAfterS: number | undefined
  readonly fields: readonly string[]
  // biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of all shapes
  readonly body: any
  /** Everything that can be seen of it, for comparisons. */
  readonly text: string
}

/** Accounts on a store of their own, with a clock that stands still; mail is delivered by `world.deliver()` only. */
export async function openAccounts({
  auth = {},
  url = "sqlite::memory:",
  send,
}: {
  auth?: object
  url?: string
  send?: SendMail
} = {}) {
  const store = await open(url)
  const config = exampleConfig({
    auth: { secret: "k3J9-aZ81-pQw7-LmN2-xYt5-Vb60-Rs4e", https: "off", ...auth },
    services: {},
    routes: [],
  })
  let settings: AuthSettings = config.auth!
  const keys = loadOwnKeys(settings)
  const log = memoryLog()
  let at = START
  const revoked: Revocation[] = []
  const counts = new Map<string, number>()
  const context: IdentityContext = {
    store,
    settings: () => settings,
    keys: () => keys,
    wallClock: () => at,
    randomBytes: (count) => crypto.getRandomValues(new Uint8Array(count)),
    audit: (sql, record) => appendAudit(sql, record, at),
    revoke: async (_sql, all) => void revoked.push(...all),
    count: (event, outcome) =>
      void counts.set(`${event} ${outcome}`, (counts.get(`${event} ${outcome}`) ?? 0) + 1),
    log,
  }
  const noMail: SendMail = () => Promise.resolve({ kind: "failed", reason: "no server" })
  const accounts: Accounts = {
    context,
    hasher: new PasswordHasher(COST),
    throttle: createThrottle(context),
    outbox: createMailOutbox(context, send ?? noMail, () => () => undefined),
  }
  const app = createIdentityApp(identityGroups(accounts), { settings: context.settings, log })

  async function ask(method: string, path: string, asked: Asked = {}): Promise<Answer> {
    const { body, raw, type = "application/json", headers = {}, client = "192.0.2.1", principal } = asked
    const text = raw ?? (body === undefined ? undefined : JSON.stringify(body))
    const request: IdentityRequest = {
      method,
      path: `/api/v1${path}`,
      query: "",
      scheme: "http",
      host: "gate.example",
      client,
      requestId: "r1",
      fields: [...(text === undefined ? [] : ["content-type", type]), ...Object.entries(headers).flat()],
      body: text === undefined ? undefined : Buffer.from(text),
      principal,
    }
    const answer = await app(request)
    if (answer.kind === "failure") {
      const { code, message, details, retryAfterS } = answer
      return {
        status: 0,
        code,
        retryAfterS,
        fields: Object.entries(answer.headers).flat(),
        body: { message, details },
        text: JSON.stringify(answer),
      }
    }
    const written = Buffer.from(answer.body).toString()
    const fields = answer.fields
    return {
      status: answer.status,
      code: undefined,
      retryAfterS: undefined,
      fields,
      body: written === "" ? undefined : JSON.parse(written),
      text: `${answer.status} ${JSON.stringify(fields)} ${written}`,
    }
  }

  const addAccount = (login: string, changes: Partial<User> = {}): Promise<User> =>
    addUser(store, login, at, {
      email: login.includes("@") ? normaliseLogin(login) : undefined,
      emailVerifiedAt: at,
      passwordHash: HASH,
      displayName: "Somebody",
      ...changes,
    })

  const logIn = (login: string, password = PASSWORD, client = "192.0.2.1") =>
    ask("POST", "/auth/login", { body: { login, password }, client })

  return {
    store,
    context,
    accounts,
    log,
    revoked,
    counts,
    ask,
    addUser: addAccount,
    logIn,
    pass: (ms: number) => void (at += ms),
    configure: (change: (settings: AuthSettings) => AuthSettings) => void (settings = change(settings)),
    /** Delivers mail that is due, and tells the events there are. */
    async deliver(): Promise<readonly { type: string; payload: Record<string, string> }[]> {
      await accounts.outbox.deliver()
      const rows = await store.all<{ type: string; payload: string }>(
        "SELECT type, payload FROM events ORDER BY id",
      )
      return rows.map(({ type, payload }) => ({ type, payload: JSON.parse(payload) }))
    },
    audits: () =>
      store.all<{ action: string; outcome: AuditRecord["outcome"]; subject: string; details: string }>(
        "SELECT action, outcome, subject, details FROM audit_events ORDER BY id",
      ),
    /** The caller as a worker would find it, after a sign-in. */
    async caller(login: string): Promise<Principal> {
      const { body } = await logIn(login)
      return principalOf(body.access_token)
    },
  }
}

/** The caller an access token is for. It is not verified. */
export function principalOf(token: string): Principal {
  const claims = JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString())
  return {
    id: claims.sub,
    kind: "user",
    method: "jwt",
    issuer: claims.iss,
    roles: claims.roles ?? [],
    scopes: (claims.scope ?? "").split(" "),
    permissions: [],
    tier: claims.tier,
    sessionId: claims.sid,
    tokenId: claims.jti,
    expiresAt: claims.exp * 1000,
    parentId: claims.parent ?? "",
    ageLimit: claims.age_limit,
    blockedContent: claims.blocked ?? [],
    claims,
  }
}
