import { Acknowledgement } from "./acknowledgement.ts"
import type { Connection } from "./connection.ts"
import { Delivery } from "./delivery.ts"
import { Emitter } from "./emitter.ts"
import { type Backoff, backoffMs, type Environment } from "./environment.ts"
import { Intake } from "./intake.ts"
import type { Published } from "./outbox.ts"
import { RealtimeError } from "./realtime_error.ts"
import type { SubscribeOptions, Subscription, SubscriptionEvents } from "./subscription.ts"
import {
  type ErrorBody,
  MAX_PUBLICATIONS,
  type Member,
  type Position,
  type Publication,
  type Push,
  type Results,
} from "./wire.ts"

/** What a channel has from its client. */
export interface ChannelOwner {
  readonly environment: Environment
  readonly backoff: Backoff
  publish(channel: string, data: unknown): Promise<Published>
  history(
    channel: string,
    since: Position | undefined,
    limit: number | undefined,
  ): Promise<Results["history"]>
  presence(channel: string): Promise<readonly Member[]>
  /** An error nobody listens for. */
  failed(error: unknown): void
  left(channel: string): void
}

export class Channel<Data> implements Subscription<Data> {
  readonly channel: string
  readonly #owner: ChannelOwner
  readonly #events = new Emitter<SubscriptionEvents<Data>>()
  readonly #manual: boolean
  readonly #intake: Intake
  readonly #delivery: Delivery
  readonly #acknowledgement: Acknowledgement
  #connection: Connection | undefined
  #state: "subscribing" | "subscribed" | "unsubscribed" = "subscribing"
  /** The channel wants acknowledgements. */
  #acknowledged = false
  #attempts = 0
  #cancelRetry: () => void = () => {}
  /** A listener failed on the one after the tail: the gateway sends it again. */
  #redelivery = false
  #handled: Position | undefined

  constructor(owner: ChannelOwner, channel: string, { since, acknowledge }: SubscribeOptions) {
    this.channel = channel
    this.#owner = owner
    this.#manual = acknowledge === "manual"
    this.#handled = since
    const intake: Intake = new Intake(
      {
        moved: (from, to) => this.#moved(from, to),
        started: (position, recovered, publications, more) => {
          this.#emit("subscribed", { position, recovered })
          if (recovered && intake.tail !== undefined)
            this.#emit("recovered", { position, publications, more })
        },
        take: (publication, epoch) => this.#take(publication, epoch),
        lost: (from, position) => this.#emit("lost", { since: from, position }),
        missing: (from) => this.#fetch(from),
      },
      since,
    )
    this.#intake = intake
    this.#delivery = new Delivery({
      listened: () => this.#events.has("publication"),
      call: (publication) => this.#events.emit("publication", publication as Publication<Data>),
      handled: (position) => {
        this.#handled = position
        this.#acknowledgement.to(position)
      },
      failed: (position, error) => this.#failed(position, error),
      idle: () => intake.resume(),
    })
    this.#acknowledgement = new Acknowledgement((outcome) => {
      if ("error" in outcome && !outcome.error.temporary) this.#report(RealtimeError.of(outcome.error))
    })
  }

  get state(): "subscribing" | "subscribed" | "unsubscribed" {
    return this.#state
  }

  get position(): Position | undefined {
    return this.#handled
  }

  on<Name extends keyof SubscriptionEvents<Data>>(
    name: Name,
    listener: (value: SubscriptionEvents<Data>[Name]) => unknown,
  ): () => void {
    const off = this.#events.on(name, listener)
    if (name === "publication") this.#delivery.next()
    return off
  }

  publish(data: unknown): Promise<Published> {
    return this.#owner.publish(this.channel, data)
  }

  history(since?: Position, limit?: number): Promise<Results["history"]> {
    return this.#owner.history(this.channel, since, limit)
  }

  presence(): Promise<readonly Member[]> {
    return this.#owner.presence(this.channel)
  }

  ack(offset: number): void {
    const epoch = this.#intake.tail?.epoch
    if (epoch !== undefined) this.#acknowledgement.to({ epoch, offset })
  }

  unsubscribe(): void {
    if (this.#state === "unsubscribed") return
    this.#connection?.request("unsubscribe", { channel: this.channel }, () => {})
    this.end("unsubscribe() was called")
  }

  /** A connection is ready. */
  attach(connection: Connection): void {
    this.#connection = connection
    this.#attempts = 0
    this.#ask()
  }

  /** The connection is gone. */
  detach(): void {
    this.#connection = undefined
    this.#interrupted()
  }

  push(push: Exclude<Push, { readonly push: "disconnect" | "safety" }>): void {
    if (push.push === "unsubscribe") this.#dropped(push.resubscribe, push.reason)
    else if (this.#state !== "subscribed") return
    else if (push.push === "publication") {
      const { push: _, channel: __, ...publication } = push
      this.#pushed(publication)
    } else this.#emit(push.push, push.member)
  }

  /** It is over. */
  end(reason: string): void {
    if (this.#state === "unsubscribed") return
    this.detach()
    this.#state = "unsubscribed"
    this.#owner.left(this.channel)
    this.#emit("unsubscribed", { reason })
  }

  #interrupted(): void {
    this.#cancelRetry()
    this.#intake.detached()
    this.#acknowledgement.detach()
    this.#state = "subscribing"
  }

  #ask(): void {
    const connection = this.#connection
    const since = this.#intake.tail
    const fields = { channel: this.channel, ...(since !== undefined && { since }) }
    connection?.request("subscribe", fields, (outcome) => {
      if (outcome === undefined || connection !== this.#connection) return
      if ("result" in outcome) this.#subscribed(connection, outcome.result)
      else this.#refused(outcome.error)
    })
  }

  #subscribed(connection: Connection, result: Results["subscribe"]): void {
    const { position, ack } = result
    this.#state = "subscribed"
    this.#attempts = 0
    this.#acknowledged = ack
    this.#redelivery = false
    this.#intake.subscribed(result)
    if (this.#delivery.idle) this.#handled ??= this.#intake.tail
    if (!ack) return
    this.#acknowledgement.attach(position.epoch, (offset, settle) =>
      connection.request("ack", { channel: this.channel, offset }, settle),
    )
  }

  #refused(error: ErrorBody): void {
    if (error.temporary) {
      this.#retry(() => this.#ask())
      return
    }
    this.#report(RealtimeError.of(error))
    this.end(error.message)
  }

  #dropped(resubscribe: boolean, reason: string): void {
    if (this.#state === "unsubscribed") return
    if (resubscribe) {
      this.#interrupted()
      this.#retry(() => this.#ask())
    } else this.end(reason)
  }

  #retry(run: () => void): void {
    const { environment, backoff } = this.#owner
    this.#cancelRetry()
    this.#cancelRetry = environment.after(backoffMs(backoff, this.#attempts++, environment.random), run)
  }

  #pushed(publication: Publication): void {
    const { offset, attempt } = publication
    const tail = this.#intake.tail?.offset ?? 0
    if (offset <= tail) {
      this.#again(publication)
      return
    }
    if (this.#redelivery && offset > tail + 1) {
      // What a listener failed on comes first; a later one that is itself sent again means it was given up.
      if (attempt === undefined) return
      this.#intake.skip(offset - 1)
    }
    this.#redelivery = false
    this.#intake.pushed(publication)
  }

  /** One that was taken before, and not acknowledged in time. */
  #again(publication: Publication): void {
    const { offset, attempt } = publication
    const handled = this.#handled
    if (attempt === undefined || handled === undefined || offset > handled.offset) return
    if (this.#manual && offset > this.#acknowledgement.upTo(handled.epoch))
      this.#emit("publication", publication)
    else this.#acknowledgement.again()
  }

  #fetch(since: Position): void {
    const connection = this.#connection
    const fields = { channel: this.channel, since, limit: MAX_PUBLICATIONS }
    connection?.request("history", fields, (outcome) => {
      if (outcome === undefined || connection !== this.#connection) return
      if ("result" in outcome) this.#intake.history(since, outcome.result)
      else if (outcome.error.temporary) this.#retry(() => this.#fetch(since))
      else this.#intake.history(since, undefined)
    })
  }

  #take(publication: Publication, epoch: string): boolean {
    if (this.#acknowledged && !this.#manual) return this.#delivery.push(publication, epoch)
    this.#handled = { epoch, offset: publication.offset }
    this.#emit("publication", publication)
    return true
  }

  #moved(from: string, to: string): void {
    if (this.#handled?.epoch === from) this.#handled = { ...this.#handled, epoch: to }
    this.#delivery.move(from, to)
    this.#acknowledgement.move(from, to)
  }

  #failed(position: Position, error: unknown): void {
    if (this.#intake.tail?.epoch === position.epoch) {
      this.#delivery.forget()
      this.#redelivery = true
      this.#intake.back({ ...position, offset: position.offset - 1 })
    }
    this.#report(error)
  }

  #emit<Name extends keyof SubscriptionEvents<Data>>(
    name: Name,
    value: SubscriptionEvents<unknown>[Name],
  ): void {
    try {
      for (const each of this.#events.emit(name, value as SubscriptionEvents<Data>[Name]))
        if (each instanceof Promise) each.catch((error: unknown) => this.#report(error))
    } catch (error) {
      this.#report(error)
    }
  }

  #report(error: unknown): void {
    if (this.#events.has("error")) this.#events.emit("error", error)
    else this.#owner.failed(error)
  }
}
