import type { Log } from "../observe/log.ts"
import type { Sql, Store } from "../store/sql.ts"
import type { Revocation } from "./messages.ts"

/** How often what other VMs have revoked is read. With the time of a query well under the second that is promised. */
const POLL_MS = 400
/** Each poll looks back this much further: a transaction may take 10 s from writing a row to its commit. */
const OVERLAP_MS = 15_000
/** All rows are read again this often, for VMs whose clocks differ by more. */
const FULL_READ_MS = 60_000
/** Revocations kept in memory; at the cap the oldest is forgotten, which is said in the log. */
const MAX_KEPT = 250_000
const PURGE_BATCH = 5000

/** Runs something later; the function returned cancels it. */
export type Later = (ms: number, run: () => void) => () => void

export interface RevocationLogDeps {
  readonly store: Store
  /** Milliseconds since the epoch. */
  readonly wallClock: () => number
  /** Longest life of an access token since the start: no revocation of a sign-in is forgotten sooner. */
  readonly accessLifeMs: () => number
  /** Tells all workers. */
  readonly tell: (revocations: readonly Revocation[]) => void
  readonly later: Later
  readonly log: Log
}

interface Row {
  kind: Revocation["kind"]
  subject: string
  expires_at: number
}

const keyOf = ({ kind, subject }: Pick<Revocation, "kind" | "subject">): string => `${kind} ${subject}`

/**
 * What no longer gives access, on all VMs: written with what it follows from, told to the workers of this VM when
 * that is committed, and read from the store by the others. Telling twice does no harm.
 */
export class RevocationLog {
  readonly #deps: RevocationLogDeps
  /** Of transactions under way: to be told once they are committed. */
  readonly #uncommitted = new WeakMap<Sql, Revocation[]>()
  /** In the order they became known. */
  readonly #known = new Map<string, Revocation>()
  /** Wall clock before the last poll that worked. */
  #readUntil = Number.NEGATIVE_INFINITY
  #fullReadAt = Number.NEGATIVE_INFINITY
  #failing = false
  #full = false
  #closed = false
  #cancel: () => void = () => {}
  /** The store, with one thing added: when a transaction is committed, its revocations are told. */
  readonly store: Store

  constructor(deps: RevocationLogDeps) {
    this.#deps = deps
    const { store } = deps
    this.store = {
      dialect: store.dialect,
      all: (text, params) => store.all(text, params),
      get: (text, params) => store.get(text, params),
      run: (text, params) => store.run(text, params),
      transaction: (work) => this.#transaction(work),
      close: () => store.close(),
    }
  }

  /** Reads what is revoked, and from now on again and again. Rejects with a `StoreError`. */
  async open(): Promise<void> {
    await this.#read()
    this.#schedule()
  }

  close(): void {
    this.#closed = true
    this.#cancel()
  }

  /** What a new worker must know. */
  known(): readonly Revocation[] {
    const at = this.#deps.wallClock()
    return [...this.#known.values()].filter((each) => each.expiresAt > at)
  }

  /** See `IdentityContext.revoke`. Outside of a transaction it is told at once. */
  async revoke(sql: Sql, revocations: readonly Revocation[]): Promise<void> {
    const at = this.#deps.wallClock()
    const least = at + this.#deps.accessLifeMs()
    const lasting = revocations.map((each) =>
      each.kind === "session" ? { ...each, expiresAt: Math.max(each.expiresAt, least) } : each,
    )
    for (const { kind, subject, expiresAt } of lasting)
      await sql.run(
        `INSERT INTO revocations (kind, subject, created_at, expires_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (kind, subject) DO UPDATE SET created_at = excluded.created_at, expires_at = excluded.expires_at`,
        [kind, subject, at, expiresAt],
      )
    const uncommitted = this.#uncommitted.get(sql)
    if (uncommitted === undefined) this.#announce(lasting)
    else uncommitted.push(...lasting)
  }

  /** Forgets what has expired, here and in the store. Call about once a minute. */
  async sweep(): Promise<void> {
    const at = this.#deps.wallClock()
    for (const [key, { expiresAt }] of this.#known) if (expiresAt <= at) this.#known.delete(key)
    await this.#deps.store.run(
      `DELETE FROM revocations WHERE (kind, subject) IN
         (SELECT kind, subject FROM revocations WHERE expires_at <= $1 LIMIT ${PURGE_BATCH})`,
      [at],
    )
  }

  /** Reads what others have revoked since. Never rejects. */
  async poll(): Promise<void> {
    const { log } = this.#deps
    try {
      await this.#read()
      if (this.#failing) log.info("revocations.read")
      this.#failing = false
    } catch (error) {
      if (this.#failing || this.#closed) return
      this.#failing = true
      log.error("revocations.unread", { error })
    }
  }

  async #transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    const revoked: Revocation[] = []
    const value = await this.#deps.store.transaction((sql) => {
      this.#uncommitted.set(sql, revoked)
      return work(sql)
    })
    this.#announce(revoked)
    return value
  }

  async #read(): Promise<void> {
    const { store, wallClock } = this.#deps
    const at = wallClock()
    // Also when the clock was set back: until it has caught up, no time would be long ago.
    const all = at < this.#fullReadAt || at - this.#fullReadAt >= FULL_READ_MS
    const since = all ? 0 : this.#readUntil - OVERLAP_MS
    const rows = await store.all<Row>(
      `SELECT kind, subject, expires_at FROM revocations WHERE created_at > $1 AND expires_at > $2
       ORDER BY created_at DESC LIMIT ${MAX_KEPT}`,
      [since, at],
    )
    this.#readUntil = at
    if (all) this.#fullReadAt = at
    // Oldest first: they are the first to be forgotten.
    this.#announce(
      rows.map(({ kind, subject, expires_at }) => ({ kind, subject, expiresAt: expires_at })).reverse(),
    )
  }

  #announce(revocations: readonly Revocation[]): void {
    const news = revocations.filter((each) => this.#keep(each))
    if (news.length > 0) this.#deps.tell(news)
  }

  /** Whether it is new, or lasts longer than was known. */
  #keep(revocation: Revocation): boolean {
    const key = keyOf(revocation)
    const known = this.#known.get(key)
    if (known !== undefined && known.expiresAt >= revocation.expiresAt) return false
    this.#known.delete(key)
    if (this.#known.size >= MAX_KEPT) this.#forgetOldest()
    this.#known.set(key, revocation)
    return true
  }

  #forgetOldest(): void {
    for (const key of this.#known.keys()) {
      this.#known.delete(key)
      break
    }
    if (!this.#full) this.#deps.log.error("revocations.full", { kept: MAX_KEPT })
    this.#full = true
  }

  #schedule(): void {
    if (this.#closed) return
    this.#cancel = this.#deps.later(POLL_MS, () => {
      void this.poll().then(() => this.#schedule())
    })
  }
}
