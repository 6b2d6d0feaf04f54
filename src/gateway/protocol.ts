import type { Config } from "../config/schema.ts"
import type { AuthFailure, IdentityState } from "../identity/messages.ts"
import type { ClockSample } from "../lib/clock.ts"
import type { HashKey } from "../lib/keyed_hash.ts"
import type { Violation } from "../observe/catalogue.ts"
import type { LabelKind } from "../observe/labels.ts"
import type { HubEvent } from "../realtime/channels/hub_messages.ts"
import type { SafetyNews } from "../realtime/safety/messages.ts"
import type { BlockChange, BlockEntry } from "../safety/block.ts"
import type { QuotaUnits } from "../store/quota_usage.ts"
import type { UsageCount } from "../store/usage_counts.ts"
import type { BreakerState } from "../upstream/breaker.ts"
import type { UpstreamMemory } from "../upstream/memory.ts"
import type { ServiceConfig } from "../upstream/service.ts"
import type { Slots } from "../upstream/slots.ts"
import type { ControlQuestion, ControlReply } from "./control_question.ts"

/** One configuration in force, as plain data that can be posted to a worker. */
export interface Generation {
  /** 1 for the first, one more for each that is applied. */
  readonly number: number
  readonly config: Config
  readonly slots: Slots
  /** Metric ids of the names config gives. */
  readonly labels: Readonly<Record<LabelKind, Readonly<Record<string, number>>>>
}

/** Certificate chain and private key, PEM texts. */
export interface PemPair {
  readonly cert: string
  readonly key: string
  /** Authorities of client certificates; absent: clients are not asked for one. */
  readonly ca?: string
}

/** What all workers of a process limit by. */
export interface LimitMemory {
  /** Made by `createLimitMemory`. */
  readonly table: SharedArrayBuffer
  /** What other machines are to know, made by `createSpendingMemory`; `undefined`: there are none. */
  readonly spending?: SharedArrayBuffer | undefined
  readonly key: HashKey
}

/** The first message of a worker. */
export interface WorkerInit {
  readonly kind: "init"
  /** Taken as the message was sent. */
  readonly clock: ClockSample
  /** From 0. */
  readonly worker: number
  readonly hostname: string
  /** 0: any free port; `ready` tells which. */
  readonly port: number
  readonly tls: PemPair | undefined
  readonly memory: UpstreamMemory
  readonly limits: LimitMemory
  /** Scores of clients, if they are needed already, and who is blocked as it is now. */
  readonly abuse: { readonly scores: LimitMemory | undefined; readonly blocked: readonly BlockEntry[] }
  /** The worker's metrics table; it outlives the worker. */
  readonly series: SharedArrayBuffer
  readonly generation: Generation
  /** Keys and revocations as they are now; `undefined` without a section `auth`. */
  readonly identity: IdentityState | undefined
}

/** What the control plane tells a worker. Handled one after another, in order. */
export type ToWorker =
  | WorkerInit
  | { readonly kind: "apply"; readonly generation: Generation }
  /** Instances of these services have come or gone; all else is as it was. No answer follows. */
  | {
      readonly kind: "services"
      readonly services: Readonly<Record<string, ServiceConfig>>
      /** Of all services. */
      readonly slots: Slots
      /** Metric ids of all instances. */
      readonly instanceLabels: Readonly<Record<string, number>>
    }
  | { readonly kind: "tls"; readonly pair: PemPair }
  /** Not ready any more: answers carry `Connection: close`, the port stays open. */
  | { readonly kind: "drain" }
  /** Close the port, finish what is in flight, then say `closed`. */
  | { readonly kind: "close" }
  | { readonly kind: "ping" }
  /** The answer to the question of this number; `undefined`: there is none to be had just now. */
  | { readonly kind: "told"; readonly id: number; readonly reply: ControlReply | undefined }
  /** Callers are hashed by this key from now on. */
  | { readonly kind: "limit_key"; readonly key: HashKey }
  /** Who is blocked from now on, and who is not any more. */
  | { readonly kind: "blocks"; readonly change: BlockChange }
  /** Scores of clients: from now on they are needed. */
  | { readonly kind: "scores"; readonly scores: LimitMemory }
  /** What has happened in channels the worker hears of. */
  | { readonly kind: "channels"; readonly events: readonly HubEvent[] }
  /** What safety events ask of the worker: before all that channels have to say. */
  | { readonly kind: "safety"; readonly news: SafetyNews }
  /** What has changed: added revocations, and all keys of each issuer named. */
  | { readonly kind: "identity"; readonly change: IdentityState }

/** What a worker tells the control plane. */
export type FromWorker =
  | { readonly kind: "ready"; readonly port: number; readonly generation: number }
  /** `error` is "" when the configuration is in force, else why the old one stays. */
  | { readonly kind: "applied"; readonly generation: number; readonly error: string }
  /** It could not start; the reason is for the operator. */
  | { readonly kind: "failed"; readonly reason: string }
  | { readonly kind: "closed" }
  | { readonly kind: "pong" }
  /** Lines of the access log, each with its line feed. */
  | { readonly kind: "access"; readonly lines: string }
  /** One line of the gateway's own log, without its line feed. */
  | { readonly kind: "log"; readonly line: string }
  | { readonly kind: "ask"; readonly id: number; readonly question: ControlQuestion }
  /** Units that were taken and not used. */
  | { readonly kind: "quota_back"; readonly units: readonly QuotaUnits[] }
  /** Requests that are over, since the last time. */
  | { readonly kind: "usage"; readonly counts: readonly UsageCount[] }
  /** Refusals of the `auth` step, for the audit record. */
  | { readonly kind: "auth_failures"; readonly failures: readonly AuthFailure[] }
  /** The score of a client is too high. */
  | { readonly kind: "offence"; readonly client: string; readonly violation: Violation }
  /** The worker saw a service's circuit move. */
  | { readonly kind: "circuit"; readonly service: string; readonly state: BreakerState }
  /** A new certificate could not be taken; the old one stays. */
  | { readonly kind: "tls_rejected"; readonly error: string }
