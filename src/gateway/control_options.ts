import type { Loaded } from "../config/load.ts"
import type { Config } from "../config/schema.ts"
import type { AuditRecord } from "../identity/context.ts"
import type { AuthFailure, IdentityState, Question, Reply } from "../identity/messages.ts"
import type { Clock } from "../lib/clock.ts"
import type { Counts } from "../observe/counts.ts"
import type { Log } from "../observe/log.ts"
import type { Hub } from "../realtime/channels/hub.ts"
import type { SafetyDesk } from "../realtime/safety/desk.ts"
import type { AlertEvent } from "../store/events.ts"
import type { DiscoverySource } from "../upstream/discovery/source.ts"
import type { BlockSyncDeps } from "./block_sync.ts"
import type { LimitKeeper } from "./limit_keeper.ts"
import type { LimitSync } from "./limit_sync.ts"
import type { LineWriter } from "./line_writer.ts"
import type { QuotaKeeper } from "./quota_keeper.ts"
import type { RegistryFeed } from "./registry_feed.ts"
import type { BuiltinRoute } from "./snapshot.ts"
import type { After, StartThread } from "./supervisor.ts"
import type { UsageKeeper } from "./usage_keeper.ts"

/** Who is calling, as the control plane answers for it: accounts, keys of issuers, revocations. */
export interface IdentityPort {
  /** Takes the section `auth` of a new configuration; `undefined`: there is none. */
  apply(config: Config): void
  /** What a new worker must know. */
  state(): IdentityState
  /** Never rejects; `undefined`: no answer can be had. */
  answer(question: Question): Promise<Reply | undefined>
  observe(failures: readonly AuthFailure[]): void
  /** Puts what was done on record, where there is a store, and tells operators of `event`. Never rejects. */
  record(record: AuditRecord, event?: AlertEvent): Promise<void>
  /** `change` is called with what all workers must know from now on. */
  onChange(change: (state: IdentityState) => void): void
}

/** What callers have used, in the store. */
export interface Ledger {
  readonly quotas: QuotaKeeper
  readonly usage: UsageKeeper
}

/** Rate limits, and what tells other machines of them. */
export interface SharedLimits {
  readonly keeper: LimitKeeper
  readonly sync: Pick<LimitSync, "take" | "apply">
}

/** What the control plane is given. */
export interface ControlOptions {
  readonly config: Config
  /** Reads and checks the configuration again. */
  readonly load: () => Loaded
  readonly workers: number
  readonly startThread: StartThread
  readonly identity: IdentityPort
  /** `undefined`: config names no store. */
  readonly ledger: Ledger | undefined
  /** Services that register themselves; `undefined`: none can. */
  readonly registry?: DiscoverySource | undefined
  /** Tells of them; together with `registry`. */
  readonly registryFeed?: Pick<RegistryFeed, "ask"> | undefined
  /** Buckets that are shared with other machines; `undefined`: config names no Redis. */
  readonly sharedLimits?: SharedLimits | undefined
  /** What blocks are shared by; `undefined`: config names no Redis. */
  readonly redis?: BlockSyncDeps["redis"] | undefined
  /** Where all channels come together; `undefined`: nobody will ask. */
  readonly channels?: Pick<Hub, "answer" | "lostWorker" | "onEvents"> | undefined
  /** Where all safety events come together; `undefined`: there will be none. */
  readonly safety?: Pick<SafetyDesk, "answer" | "lostWorker" | "onNews"> | undefined
  /** The built-in endpoints, which have metrics of their own. */
  readonly builtinRoutes: (config: Config) => readonly BuiltinRoute[]
  readonly version: string
  readonly log: Log
  /** Takes lines of the workers' own logs, without line feed. */
  readonly writeLog: (line: string) => void
  readonly accessLog: LineWriter
  /** Counters of what else runs in the control plane. */
  readonly counts: Counts
  readonly now: Clock
  readonly after: After
}
