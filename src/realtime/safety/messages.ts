import type { SafetyReport } from "../../safety/safety_event.ts"
import type { ServiceCall } from "../channels/call_service.ts"
import type { Retention } from "../channels/channel_store.ts"
import type { Alarm } from "./alarm.ts"

// What workers and the control plane say to each other of safety events. Plain data: it is posted between threads, by
// itself and not together with what else channels have to say.

/** A channel an event is published on. */
export interface AlarmChannel {
  readonly channel: string
  readonly namespace: string
  readonly retention: Retention
}

/** The service that gets events, and for how long it is tried, in ms. */
export interface AlarmService extends ServiceCall {
  readonly giveUpAfterMs: number
}

/** Where an event goes, by the configuration in force. */
export interface AlarmPlan {
  readonly service: AlarmService | undefined
  readonly channels: readonly AlarmChannel[]
  /** "": no user is told. */
  readonly user: string
}

/** Whose doing an event is, for the record. */
export interface Reporter {
  /** "": nobody knows. */
  readonly id: string
  /** Address; "" where it does not matter. */
  readonly client: string
  readonly requestId: string
}

export interface Raise {
  readonly do: "raise"
  readonly report: SafetyReport
  /** `api`, or `policy:` and its name. */
  readonly source: string
  readonly reporter: Reporter
  /** Idempotency key, with the reporter's id before it; `undefined`: none. */
  readonly key: string | undefined
  readonly plan: AlarmPlan
}

export interface SafetyQuestion {
  readonly kind: "safety"
  readonly worker: number
  readonly ask:
    | Raise
    /** A call that was asked for is over. */
    | { readonly do: "called"; readonly id: string; readonly taken: boolean }
    /** What policies made of a message: for metrics. */
    | {
        readonly do: "judged"
        readonly namespace: string
        readonly policy: string
        readonly verdict: Verdict
      }
}
export type Verdict = "refused" | "edited" | "escalated"

export interface Raised {
  readonly id: string
  /** The key was known: nothing was done again. */
  readonly duplicate: boolean
}

export interface SafetyAnswer {
  readonly kind: "safety"
  /** `undefined`: to another question than `raise`, or too many events wait to be handed on. */
  readonly raised: Raised | undefined
}

/** What workers are told. */
export type SafetyNews =
  | { readonly do: "alarm"; readonly alarm: Alarm }
  /** Call the service, and say then how it went. */
  | { readonly do: "call"; readonly id: string; readonly call: ServiceCall; readonly event: object }
