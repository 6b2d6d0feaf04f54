import type { Log } from "../observe/log.ts"
import type { Sql, Store } from "../store/sql.ts"
import type { Revocation } from "./messages.ts"
import type { OwnKeys } from "./own_keys.ts"
import type { AuthSettings } from "./settings.ts"

/** One line of the record of who did what. Holds no secrets: no password, no token, no key. */
export interface AuditRecord {
  /** `noun.verb`: "account.register", "session.start", "token.refresh", "api_key.create", … */
  readonly action: string
  readonly outcome: "success" | "failure"
  /** Who did it: a user or client id, "admin" for the admin API; "" when not known. */
  readonly actor: string
  /** What it was done to, by id; the login tried, for failed sign-ins. */
  readonly subject: string
  /** Address of the client; "" for the gateway itself. */
  readonly client: string
  readonly requestId: string
  readonly details: Readonly<Record<string, string | number>>
}

/** Who asks, for records and throttling. */
export interface Asking {
  readonly client: string
  readonly userAgent: string
  readonly requestId: string
}

/** What identity counts in the control plane; one metric, `gatehouse_identity_events_total{event,outcome}`. */
export type CountEvent = (event: IdentityEventName, outcome: "success" | "failure") => void

export const IDENTITY_EVENTS = [
  "register",
  "login",
  "login_throttled",
  "token_issued",
  "refresh",
  "refresh_reused",
  "logout",
  "session_ended",
  "password_reset",
  "email_verified",
  "api_key",
  "client_credentials",
  "provider_login",
  "keys_fetched",
  "mail",
  "introspect",
  "revoke",
] as const
export type IdentityEventName = (typeof IDENTITY_EVENTS)[number]

/** What tokens of the gateway itself are made of. */
export type OwnTokens = Pick<IdentityContext, "settings" | "keys">

/** What every part of identity in the control plane works with. */
export interface IdentityContext {
  /** When a transaction of it is committed, what was revoked in it is told. */
  readonly store: Store
  /** The section `auth` in force. */
  readonly settings: () => AuthSettings
  /** Keys of the gateway's own tokens, in force. */
  readonly keys: () => OwnKeys
  /** Milliseconds since the epoch. */
  readonly wallClock: () => number
  readonly randomBytes: (count: number) => Uint8Array
  /** Writes the record with `sql`, so that it stands or falls with what it tells of. */
  readonly audit: (sql: Sql, record: AuditRecord) => Promise<void>
  /** Writes revocations with `sql` and, once that is committed, has them told to every worker. Call inside the transaction. */
  readonly revoke: (sql: Sql, revocations: readonly Revocation[]) => Promise<void>
  readonly count: CountEvent
  readonly log: Log
}
