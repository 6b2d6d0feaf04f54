import type { Principal } from "../../identity/principal.ts"
import type { ServiceCall } from "./call_service.ts"
import type { DeadLetter, Published, PublishRequest, Retention } from "./channel_store.ts"
import type { Member, Position } from "./protocol.ts"

// What workers ask the hub of the control plane, and what it tells them. Plain data: it is posted between threads.

/** How many connections there may be, from `realtime`. */
export interface ConnectionLimits {
  readonly max: number
  readonly perUser: number
  readonly perAddress: number
}

/** Publications as JSON texts, ready to be joined: `{"offset":7,"data":…,"publisher":…}`. */
export type PublicationText = string

/** A subscriber of an `at_least_once` channel, and when the hub gives up on it. */
export interface AckedSubscriber {
  readonly subscriber: string
  readonly maxDeliveries: number
}

/** Which service gets a message, and what it is told beside it. */
export interface ForwardOrder {
  readonly call: ServiceCall
  /** Id of the publisher, fit for a header; "": nobody knows who it is. */
  readonly user: string
  /** The publisher as services are told of it, as JSON text. */
  readonly caller: string
  readonly requestId: string
  /** Ms after it was accepted; then no attempt follows one that failed. */
  readonly retryForMs: number
  /** Of the namespace, in this process. */
  readonly maxMessages: number
  readonly maxBytes: number
}

/** `refused`: by the service, for good. */
export type ForwardOutcome = "delivered" | "refused" | "failed"

export type HubCommand =
  | {
      readonly do: "publish"
      readonly channel: string
      readonly namespace: string
      readonly request: PublishRequest
      readonly retention: Retention
      /** Absent: no service gets it. */
      readonly forward?: ForwardOrder | undefined
    }
  /** What became of an attempt to forward. */
  | { readonly do: "forwarded"; readonly id: number; readonly outcome: ForwardOutcome }
  /** Of a survey: the first channels it asks for that have subscribers at the worker. */
  | { readonly do: "surveyed"; readonly id: number; readonly counts: readonly ChannelCount[] }
  /** Answered when nothing is left to forward, or after so many ms. */
  | { readonly do: "drain_forwards"; readonly withinMs: number }
  /** From the answer on, and perhaps a little before, the worker hears of the channel, until `unlisten`. */
  | {
      readonly do: "subscribe"
      readonly channel: string
      readonly namespace: string
      readonly since: Position | undefined
      readonly limit: number
      readonly bytes: number
      readonly retention: Retention
      readonly acked: AckedSubscriber | undefined
    }
  | { readonly do: "unlisten"; readonly channel: string }
  /** `bytes`: of the texts, about; at least one publication is given. Absent: any. */
  | {
      readonly do: "history"
      readonly channel: string
      readonly since: Position | undefined
      readonly limit: number
      readonly bytes?: number
      readonly retention: Retention
    }
  | { readonly do: "enter"; readonly channel: string; readonly member: Member; readonly announce: boolean }
  | { readonly do: "leave"; readonly channel: string; readonly member: Member; readonly announce: boolean }
  | { readonly do: "members"; readonly channel: string; readonly limit: number }
  | {
      readonly do: "ack"
      readonly channel: string
      readonly subscriber: string
      readonly position: Position
    }
  /** What the subscriber did not acknowledge, once more; a publication too often redelivered is buried. */
  | {
      readonly do: "redeliver"
      readonly channel: string
      readonly namespace: string
      readonly limit: number
      readonly bytes: number
      readonly retention: Retention
      readonly acked: AckedSubscriber
    }
  | { readonly do: "dead_letters"; readonly channel: string; readonly limit: number }
  /** A connection asks to be let in; `client` is new. */
  | {
      readonly do: "open"
      readonly client: string
      /** "": nobody has said. */
      readonly user: string
      readonly address: string
      readonly limits: ConnectionLimits
    }
  | { readonly do: "close"; readonly client: string; readonly code: number }
  | { readonly do: "issue_ticket"; readonly principal: Principal; readonly ttlMs: number }
  | { readonly do: "take_ticket"; readonly ticket: string }

/** Publications with where they stand. */
export interface Found {
  /** Of the newest publication of the channel. */
  readonly position: Position
  /**
   * The same place as the `since` that was asked for, in the epoch of `position`. `undefined`: none was asked for, or it
   * leads nowhere.
   */
  readonly since: Position | undefined
  /** Offset of the first of `publications`; they have no gap. 0: there are none. */
  readonly first: number
  readonly publications: readonly PublicationText[]
  readonly complete: boolean
}

export interface Redelivery extends Found {
  /** Where the subscriber stands now. */
  readonly cursor: Position
  /** Redeliveries of the first of `publications`, this one included. */
  readonly attempts: number
}

/** `position` is that of the last one in `publications`, if there are any. */
export interface Subscribed extends Found {
  /** Of an `at_least_once` subscriber: where it stands. */
  readonly cursor: Position | undefined
  /** Publications go on from a place the client named or acknowledged, and none is missing. */
  readonly recovered: boolean
  /** There are publications after `position` already: they are read next. */
  readonly more: boolean
}

/** The answer to each command. */
export interface HubAnswers {
  readonly publish: Published
  readonly forwarded: undefined
  readonly drain_forwards: undefined
  readonly surveyed: undefined
  readonly subscribe: Subscribed
  readonly unlisten: undefined
  readonly history: Found
  readonly enter: undefined
  readonly leave: undefined
  readonly members: readonly Member[]
  readonly ack: Position
  /** `undefined`: the subscriber is not known. */
  readonly redeliver: Redelivery | undefined
  readonly dead_letters: readonly DeadLetter[]
  /** What there are too many of. */
  readonly open: "opened" | "process" | "user" | "address"
  readonly close: undefined
  readonly issue_ticket: string
  /** `undefined`: it was never given out, has been taken, or its time is over. */
  readonly take_ticket: Principal | undefined
}

export type HubAnswer =
  | { readonly ok: true; readonly value: HubAnswers[HubCommand["do"]] }
  /** The store cannot do it now. */
  | { readonly ok: false }

/** What a worker asks, as much as came together. Commands are begun in this order. */
export interface ChannelQuestion {
  readonly kind: "channels"
  readonly worker: number
  readonly commands: readonly HubCommand[]
}

/** In the order of the commands. */
export interface ChannelAnswer {
  readonly kind: "channels"
  readonly answers: readonly HubAnswer[]
}

/** The worker is to send a message to a service, and to tell by `forwarded` what became of it. */
export interface ForwardEvent {
  readonly type: "forward"
  readonly id: number
  readonly channel: string
  readonly epoch: string
  readonly offset: number
  /** JSON text. */
  readonly data: string
  readonly order: ForwardOrder
}

/** Which channels are asked for. */
export interface ChannelQuery {
  /** Names that come after it, in the order of code units. */
  readonly after: string
  /** What they begin with. */
  readonly prefix: string
  readonly limit: number
}

export interface ChannelCount {
  readonly channel: string
  readonly subscribers: number
}

/** The worker is to tell by `surveyed` which of these channels it has. */
export interface SurveyEvent extends ChannelQuery {
  readonly type: "survey"
  readonly id: number
}

/** What workers are told: of channels they hear of, in order, and what they are to do. */
export type HubEvent = ChannelEvent | ForwardEvent | SurveyEvent

/** What happens in a channel. */
export type ChannelEvent =
  | {
      readonly type: "publication"
      readonly channel: string
      readonly epoch: string
      readonly offset: number
      readonly text: PublicationText
    }
  | { readonly type: "join" | "leave"; readonly channel: string; readonly member: Member }
  /** Something was missed: subscribers must recover. */
  | { readonly type: "lost"; readonly channel: string }
