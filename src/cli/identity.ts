import type { AnyElysia } from "elysia"
import type { Config } from "../config/schema.ts"
import type { IdentityPort } from "../gateway/control_options.ts"
import { sweepAccounts, sweepAudit } from "../identity/account_sweep.ts"
import type { Accounts } from "../identity/accounts.ts"
import type { AuditRecord, CountEvent, IdentityContext, OwnTokens } from "../identity/context.ts"
import { resolveCredential } from "../identity/credentials.ts"
import { Issuers } from "../identity/issuers.ts"
import type {
  AuthFailure,
  CredentialAnswer,
  IdentityAnswer,
  IdentityRequest,
  IdentityState,
  Question,
  Reply,
} from "../identity/messages.ts"
import { createMailOutbox } from "../identity/outbox.ts"
import { loadOwnKeys, type OwnKeys } from "../identity/own_keys.ts"
import { PasswordHasher } from "../identity/passwords.ts"
import { recordFailures } from "../identity/record_failures.ts"
import { RequestTurns } from "../identity/request_turns.ts"
import { type Later, RevocationLog } from "../identity/revocation_log.ts"
import { sweepSessions } from "../identity/session_sweep.ts"
import type { AuthSettings } from "../identity/settings.ts"
import { sendBySmtp } from "../identity/smtp.ts"
import { createThrottle } from "../identity/throttle.ts"
import { now } from "../lib/clock.ts"
import { late } from "../lib/late.ts"
import type { Log } from "../observe/log.ts"
import { appendAudit } from "../safety/audit.ts"
import { ALERT_TTL_MS, type AlertEvent, appendEvent } from "../store/events.ts"
import { type Store, StoreError } from "../store/sql.ts"
import { isLinkLocal } from "../upstream/link_local.ts"
import { lookUpName } from "../upstream/resolved_address.ts"
import type { IdentityApp } from "./identity_app.ts"

function createAccounts(context: IdentityContext): Accounts {
  return {
    context,
    hasher: new PasswordHasher(),
    throttle: createThrottle(context),
    outbox: createMailOutbox(context, sendBySmtp, later),
  }
}

/** Deletes what has expired. Each may run at any time and takes little at once; called about once a minute. */
export function identitySweeps(
  { context, outbox, throttle }: Accounts,
  revocations: RevocationLog,
): readonly (() => Promise<void>)[] {
  return [
    () => sweepSessions(context),
    () => revocations.sweep(),
    () => sweepAccounts(context),
    () => sweepAudit(context),
    () => throttle.flush(),
    // Mail that another process left behind.
    () => outbox.deliver(),
  ]
}

const SWEEP_MS = 60_000

const later: Later = (ms, run) => {
  const timer = setTimeout(run, ms)
  return () => clearTimeout(timer)
}

export interface IdentityDeps {
  /** `undefined`: config names no `store`; tokens are verified, and nothing else. */
  readonly store: Store | undefined
  readonly wallClock: () => number
  readonly count: CountEvent
  readonly log: Log
  /** Loads more endpoints below the prefixes, for callers: Elysia applications. */
  readonly groups?: () => Promise<readonly AnyElysia[]>
}

/** Identity in the control plane: what workers ask, and what they are told. */
export class ControlIdentity implements IdentityPort {
  readonly #deps: IdentityDeps
  readonly #turns = new RequestTurns({ soon: (run) => void setImmediate(run) })
  readonly #own: OwnTokens
  #app: Promise<IdentityApp> | undefined
  /** All three `undefined` without a store. */
  readonly #context: IdentityContext | undefined
  readonly #accounts: Accounts | undefined
  readonly #revocations: RevocationLog | undefined
  readonly #issuers: Issuers
  #config: Config
  #settings: AuthSettings | undefined
  #keys: OwnKeys | undefined
  /** Longest `auth.access_token_ttl` so far: a reload shortens no token that is out already. */
  #accessLifeMs = 0
  #tell: (change: IdentityState) => void = () => {}
  #cancelSweep: () => void = () => {}
  #closed = false

  /** Throws `Error` for keys that cannot be used. */
  constructor(config: Config, deps: IdentityDeps) {
    this.#deps = deps
    this.#config = config
    this.#issuers = new Issuers({
      fetch: (url, init) => fetch(url, init),
      lookUp: lookUpName,
      isRefused: isLinkLocal,
      now,
      random: Math.random,
      after: later,
      log: deps.log,
      count: deps.count,
      onKeys: (keys) => this.#tell({ issuers: [keys], revocations: [] }),
    })
    this.apply(config)
    // Nothing asks while there is no section `auth`.
    this.#own = { settings: () => this.#settings!, keys: () => this.#keys! }
    if (deps.store !== undefined) {
      this.#revocations = this.#createRevocations(deps.store)
      this.#context = this.#createContext(this.#own, this.#revocations)
      this.#accounts = createAccounts(this.#context)
    }
  }

  /** For the admin API, which manages what identity keeps; `undefined` without a store. */
  get context(): IdentityContext | undefined {
    return this.#context
  }

  /** Puts something that is done already on record, where there is a store, and tells operators of it. Never rejects. */
  async record(record: AuditRecord, event?: AlertEvent): Promise<void> {
    if (this.#context === undefined) return
    const { store, audit, wallClock } = this.#context
    try {
      if (event === undefined) return await audit(store, record)
      await store.transaction(async (sql) => {
        await audit(sql, record)
        await appendEvent(sql, event.type, event.payload, wallClock(), wallClock() + ALERT_TTL_MS)
      })
    } catch (error) {
      this.#deps.log.error("store.unavailable", { kind: "audit", error })
    }
  }

  /** Reads what the store says is revoked and keeps up with it. Rejects with a `StoreError`. */
  async open(): Promise<void> {
    await this.#revocations?.open()
    this.#cancelSweep = later(SWEEP_MS, () => void this.#sweep())
  }

  close(): void {
    this.#closed = true
    this.#cancelSweep()
    this.#issuers.close()
    this.#accounts?.outbox.close()
    this.#revocations?.close()
  }

  apply(config: Config): void {
    const { auth } = config
    // First, as it can fail.
    this.#keys = auth === undefined ? undefined : loadOwnKeys(auth)
    const added = this.#settings === undefined && auth !== undefined
    this.#config = config
    this.#settings = auth
    this.#issuers.apply(auth)
    // Workers that were started without this section have not been told.
    if (added) this.#tell(this.state())
    if (auth !== undefined)
      this.#accessLifeMs = Math.max(this.#accessLifeMs, auth.access_token_ttl + auth.leeway)
  }

  state(): IdentityState {
    return { issuers: this.#issuers.state(), revocations: this.#revocations?.known() ?? [] }
  }

  async answer(question: Question): Promise<Reply | undefined> {
    switch (question.kind) {
      case "request":
        return this.#settings === undefined ? undefined : this.#handle(question.request)
      case "credential":
        return this.#resolve(question)
      case "keys": {
        const keys = await this.#issuers.ask(question.issuer, question.kid)
        return keys && { kind: "keys", keys }
      }
    }
  }

  observe(failures: readonly AuthFailure[]): void {
    void recordFailures(failures, this.#context, this.#deps.log)
  }

  onChange(tell: (change: IdentityState) => void): void {
    this.#tell = tell
  }

  async #handle(request: IdentityRequest): Promise<IdentityAnswer> {
    const { answer, busy } = await (this.#app ??= this.#load())
    return (await this.#turns.run(request.client, () => answer(request))) ?? busy
  }

  /** With the first request: Elysia and what the endpoints need besides would hold up every start. */
  async #load(): Promise<IdentityApp> {
    const { createApp } = await import("./identity_app.ts")
    return createApp({
      own: this.#own,
      accounts: this.#accounts,
      config: () => this.#config,
      groups: (await this.#deps.groups?.()) ?? [],
      log: this.#deps.log,
    })
  }

  async #sweep(): Promise<void> {
    // Without the section `auth` nothing is added, and how long things are kept is not known.
    const sweeps =
      this.#settings === undefined || this.#accounts === undefined
        ? []
        : identitySweeps(this.#accounts, this.#revocations!)
    for (const sweep of sweeps) {
      try {
        await sweep()
      } catch (error) {
        const kind = error instanceof StoreError ? error.kind : "failed"
        this.#deps.log.error("store.unavailable", { kind, error })
      }
    }
    if (!this.#closed) this.#cancelSweep = later(SWEEP_MS, () => void this.#sweep())
  }

  async #resolve(question: Extract<Question, { kind: "credential" }>): Promise<CredentialAnswer | undefined> {
    if (this.#context === undefined || this.#settings === undefined) return { kind: "unknown" }
    try {
      return await resolveCredential(this.#context, question)
    } catch (error) {
      this.#deps.log.error("store.unavailable", {
        kind: error instanceof StoreError ? error.kind : "failed",
        error,
      })
      return undefined
    }
  }

  #createRevocations(store: Store): RevocationLog {
    const { wallClock, log } = this.#deps
    return new RevocationLog({
      store,
      wallClock,
      accessLifeMs: () => this.#accessLifeMs,
      tell: (revocations) => this.#tell({ issuers: [], revocations }),
      later,
      log,
    })
  }

  #createContext({ settings, keys }: OwnTokens, revocations: RevocationLog): IdentityContext {
    const { wallClock, count, log } = this.#deps
    return {
      store: revocations.store,
      settings,
      keys,
      wallClock,
      randomBytes: (length) => late.crypto.randomBytes(length),
      audit: (sql, record) => appendAudit(sql, record, wallClock()),
      revoke: (sql, each) => revocations.revoke(sql, each),
      count,
      log,
    }
  }
}
