import type { Published } from "./outbox.ts"
import type { Member, Position, Publication, Results } from "./wire.ts"

export interface SubscriptionEvents<Data> {
  /**
   * Each message once, in order. In a channel that wants acknowledgements the next one waits until what the listener
   * returned has resolved; when it rejects, the message comes again (`attempt`). Without a listener they wait.
   */
  publication: Publication<Data>
  join: Member
  leave: Member
  /** Messages come from now on. `recovered`: nothing is missing since the position there was. */
  subscribed: { readonly position: Position; readonly recovered: boolean }
  /** It was interrupted, and what was missed follows: so many messages, and `more` after them. */
  recovered: { readonly position: Position; readonly publications: number; readonly more: boolean }
  /** What came after `since`, up to and with `position`, cannot be had any more: load the state anew. */
  lost: { readonly since: Position; readonly position: Position }
  /** It is over, by `unsubscribe()` or as the gateway says. */
  unsubscribed: { readonly reason: string }
  /** A command was refused, or a listener threw. Without a listener the client's `error` has it. */
  error: unknown
}

export interface SubscribeOptions {
  /** Where the caller stopped before, such as the `position` of an earlier subscription. */
  readonly since?: Position | undefined
  /** `manual`: call `ack(offset)` yourself; messages do not wait for each other then. Default `auto`. */
  readonly acknowledge?: "auto" | "manual" | undefined
}

/** A channel a client listens to, over all its connections. */
export interface Subscription<Data = unknown> {
  readonly channel: string
  readonly state: "subscribing" | "subscribed" | "unsubscribed"
  /** Of the last message that was handled: what to give as `since` another time. */
  readonly position: Position | undefined
  /** Returns what takes the listener back. */
  on<Name extends keyof SubscriptionEvents<Data>>(
    name: Name,
    listener: (value: SubscriptionEvents<Data>[Name]) => unknown,
  ): () => void
  publish(data: unknown): Promise<Published>
  /**
   * Without `since` the newest ones. Large ones are fewer than `limit` (default 100, at most 1000): about 256 KB. Rejects
   * when there is no connection.
   */
  history(since?: Position, limit?: number): Promise<Results["history"]>
  /** Rejects when there is no connection. */
  presence(): Promise<readonly Member[]>
  /** Everything up to and with this offset was dealt with. */
  ack(offset: number): void
  unsubscribe(): void
}
