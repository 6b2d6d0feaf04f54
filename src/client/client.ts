import { Channel } from "./channel.ts"
import { Connection, type Outcome } from "./connection.ts"
import { Emitter } from "./emitter.ts"
import { type Backoff, backoffMs, type Environment } from "./environment.ts"
import { Outbox, type Published } from "./outbox.ts"
import { RealtimeError } from "./realtime_error.ts"
import type { SubscribeOptions, Subscription } from "./subscription.ts"
import {
  type CommandName,
  type Commands,
  type Member,
  mayReconnect,
  type Position,
  type Push,
  type Results,
  type SafetyEvent,
} from "./wire.ts"

export interface ClientEvents {
  /** Each time a connection is ready. */
  connected: { readonly client: string; readonly user: string | undefined }
  /** `retryInMs`: when the next one is tried; `undefined`: never, and `closed` follows. */
  disconnected: { readonly code: number; readonly reason: string; readonly retryInMs: number | undefined }
  /** It is over, by `close()` or by a close code from 4500 on. */
  closed: { readonly code: number; readonly reason: string }
  /** At once, before all that waits to be sent; whatever is subscribed to, if it is about the user. */
  safety: SafetyEvent
  /** What no one else is told: a token could not be had, a listener threw. Without a listener the console has it. */
  error: unknown
}

export interface ClientSettings {
  /** `ws:` or `wss:`. */
  readonly url: string
  readonly token: (() => string | Promise<string>) | undefined
  readonly ticket: (() => string | Promise<string>) | undefined
  readonly session: string
  readonly backoff: Backoff
  /** For a handshake and each answer. */
  readonly timeoutMs: number
  /** Messages. */
  readonly maxOutbox: number
  readonly environment: Environment
}

/** A connection that lasted this long was a good one: the next wait is short again. */
const STABLE_MS = 10_000
/** Part of a token's life after which a new one is asked for, and the least that must be left then, in ms. */
const REFRESH_AT = 0.8
const REFRESH_RESERVE_MS = 10_000
const RPC_TIMEOUT_MS = 60_000
/** RFC 6455 section 7.4.1. */
const NORMAL_CLOSURE = 1000
const NO_CLOSE_FRAME = 1006
/** The gateway's own, told here when its answer to `connect` says it first. */
const INVALID_CREDENTIALS = 4502

/** A client of the realtime endpoint that keeps itself connected. Made by `connect`. */
export class RealtimeClient {
  readonly #settings: ClientSettings
  readonly #environment: Environment
  readonly #events = new Emitter<ClientEvents>()
  readonly #outbox: Outbox
  readonly #subscriptions = new Map<string, Pick<Channel<unknown>, "attach" | "detach" | "push" | "end">>()
  #state: "connecting" | "connected" | "waiting" | "closed" = "connecting"
  /** The one that is tried, or is ready. */
  #connection: Connection | undefined
  #failures = 0
  #readyAt = 0
  #cancelTimer: () => void = () => {}
  #cancelRefresh: () => void = () => {}

  constructor(settings: ClientSettings) {
    this.#settings = settings
    this.#environment = settings.environment
    this.#outbox = new Outbox(settings.environment, settings.backoff, settings.maxOutbox)
    void this.#connect()
  }

  get state(): "connecting" | "connected" | "waiting" | "closed" {
    return this.#state
  }

  /** Messages published and not answered yet. */
  get unsent(): number {
    return this.#outbox.size
  }

  /** Returns what takes the listener back. */
  on<Name extends keyof ClientEvents>(
    name: Name,
    listener: (value: ClientEvents[Name]) => unknown,
  ): () => void {
    return this.#events.on(name, listener)
  }

  /** Listens to a channel from now on, or from `since`. Throws when it does already. */
  subscribe<Data = unknown>(channel: string, options: SubscribeOptions = {}): Subscription<Data> {
    if (this.#state === "closed") throw this.#closedError()
    if (this.#subscriptions.has(channel))
      throw new RealtimeError("ALREADY_SUBSCRIBED", `subscribing to ${channel}: it is subscribed to`, false)
    const owner = {
      environment: this.#environment,
      backoff: this.#settings.backoff,
      publish: (name: string, data: unknown) => this.publish(name, data),
      history: (name: string, since: Position | undefined, limit: number | undefined) =>
        this.#ask("history", {
          channel: name,
          ...(since !== undefined && { since }),
          ...(limit !== undefined && { limit }),
        }),
      presence: (name: string) => this.presence(name),
      failed: (error: unknown) => this.#report(error),
      left: (name: string) => void this.#subscriptions.delete(name),
    }
    const subscription = new Channel<Data>(owner, channel, options)
    this.#subscriptions.set(channel, subscription)
    if (this.#state === "connected" && this.#connection !== undefined) subscription.attach(this.#connection)
    return subscription
  }

  /**
   * Publishes, now or when there is a connection; messages of a channel keep their order. `key` (up to 128 characters;
   * default: a new one) tells the gateway whether it has this message already. Rejects with a `RealtimeError`.
   */
  publish(channel: string, data: unknown, key = this.#environment.newId()): Promise<Published> {
    if (this.#state === "closed") return Promise.reject(this.#closedError())
    return this.#outbox.publish(channel, data, key)
  }

  /** Asks a service by the name config gives it. Never sent twice; rejects when there is no connection. */
  async rpc<Answer = unknown>(method: string, data?: unknown): Promise<Answer> {
    const fields = { method, ...(data !== undefined && { data }) }
    return (await this.#ask("rpc", fields, RPC_TIMEOUT_MS)).data as Answer
  }

  /** Members of a channel that is subscribed to. Rejects when there is no connection. */
  async presence(channel: string): Promise<readonly Member[]> {
    return (await this.#ask("presence", { channel })).members
  }

  /** Ends it. What was not answered is rejected with `CLOSED`. */
  close(): void {
    this.#finish(NORMAL_CLOSURE, "close() was called")
  }

  async #connect(): Promise<void> {
    const { url, token, ticket, session, timeoutMs } = this.#settings
    this.#state = "connecting"
    let fields: Commands["connect"]
    try {
      fields = {
        ...(token !== undefined && { token: await token() }),
        ...(ticket !== undefined && { ticket: await ticket() }),
        session,
      }
    } catch (error) {
      this.#report(error)
      if (this.#is("connecting")) this.#wait(NO_CLOSE_FRAME, "no token or ticket could be had")
      return
    }
    if (!this.#is("connecting")) return
    const connection: Connection = new Connection(url, this.#environment, timeoutMs, {
      opened: () => this.#introduce(connection, fields),
      push: (push) => this.#push(push),
      ended: (code, reason, reconnect) => this.#ended(connection, code, reason, reconnect),
    })
    this.#connection = connection
  }

  #introduce(connection: Connection, fields: Commands["connect"]): void {
    connection.request("connect", fields, (outcome) => {
      if (outcome === undefined || connection !== this.#connection) return
      if ("result" in outcome) {
        this.#connected(connection, outcome.result)
        return
      }
      const error = RealtimeError.of(outcome.error)
      this.#report(error)
      if (error.temporary) connection.close(NO_CLOSE_FRAME, error.message)
      else this.#finish(INVALID_CREDENTIALS, error.message)
    })
  }

  #connected(connection: Connection, { client, user, expires_in, ping }: Results["connect"]): void {
    this.#state = "connected"
    this.#readyAt = this.#environment.now()
    connection.watch(ping * 1000)
    this.#refreshIn(expires_in)
    this.#emit("connected", { client, user })
    for (const subscription of [...this.#subscriptions.values()]) subscription.attach(connection)
    this.#outbox.attach(connection)
  }

  #push(push: Push): void {
    if (push.push === "safety") {
      const { push: _, ...event } = push
      this.#emit("safety", event)
    } else if (push.push !== "disconnect") this.#subscriptions.get(push.channel)?.push(push)
  }

  #ended(connection: Connection, code: number, reason: string, reconnect = mayReconnect(code)): void {
    if (connection !== this.#connection) return
    this.#connection = undefined
    this.#cancelRefresh()
    this.#outbox.detach()
    for (const subscription of this.#subscriptions.values()) subscription.detach()
    if (this.#state === "connected" && this.#environment.now() - this.#readyAt >= STABLE_MS)
      this.#failures = 0
    if (this.#state === "closed") return
    if (reconnect) this.#wait(code, reason)
    else {
      this.#emit("disconnected", { code, reason, retryInMs: undefined })
      this.#finish(code, reason)
    }
  }

  #wait(code: number, reason: string): void {
    this.#state = "waiting"
    const retryInMs = backoffMs(this.#settings.backoff, this.#failures++, this.#environment.random)
    this.#cancelTimer = this.#environment.after(retryInMs, () => void this.#connect())
    this.#emit("disconnected", { code, reason, retryInMs })
  }

  /** `seconds`: until the token ends; `undefined`: it does not. */
  #refreshIn(seconds: number | undefined): void {
    this.#cancelRefresh()
    const { token } = this.#settings
    if (token === undefined || seconds === undefined) return
    const leftMs = seconds * 1000
    const inMs = Math.max(0, Math.min(leftMs * REFRESH_AT, leftMs - REFRESH_RESERVE_MS))
    this.#cancelRefresh = this.#environment.after(inMs, () => void this.#refresh(token, leftMs - inMs))
  }

  /** Fails silently at last: the gateway closes the connection when the token ends, and the next one has a new token. */
  async #refresh(token: () => string | Promise<string>, leftMs: number): Promise<void> {
    const connection = this.#connection
    const again = (): void => {
      // At most ten tries in the time that is left.
      this.#cancelRefresh = this.#environment.after(Math.max(1000, leftMs / 10), () => {
        void this.#refresh(token, leftMs)
      })
    }
    let fresh: string
    try {
      fresh = await token()
    } catch (error) {
      this.#report(error)
      if (connection !== undefined && connection === this.#connection) again()
      return
    }
    if (connection === undefined || connection !== this.#connection) return
    connection.request("refresh", { token: fresh }, (outcome) => {
      if (outcome === undefined || connection !== this.#connection) return
      if ("result" in outcome) {
        this.#refreshIn(outcome.result.expires_in)
        return
      }
      this.#report(RealtimeError.of(outcome.error))
      if (outcome.error.temporary) again()
    })
  }

  #finish(code: number, reason: string): void {
    if (this.#state === "closed") return
    this.#state = "closed"
    this.#cancelTimer()
    this.#cancelRefresh()
    this.#connection?.close(code, reason)
    this.#connection = undefined
    for (const subscription of [...this.#subscriptions.values()]) subscription.end(reason)
    this.#outbox.close(this.#closedError())
    this.#emit("closed", { code, reason })
  }

  #ask<Name extends CommandName>(
    name: Name,
    fields: Commands[Name],
    patient = this.#settings.timeoutMs,
  ): Promise<Results[Name]> {
    const connection = this.#state === "connected" ? this.#connection : undefined
    return new Promise((resolve, reject) => {
      if (connection === undefined) {
        reject(new RealtimeError("DISCONNECTED", `${name}: there is no connection`, true))
        return
      }
      const settle = (outcome: Outcome<Name>): void => {
        if (outcome === undefined) {
          const code = connection === this.#connection ? "TIMEOUT" : "DISCONNECTED"
          reject(new RealtimeError(code, `${name}: there was no answer`, true))
        } else if ("result" in outcome) resolve(outcome.result)
        else reject(RealtimeError.of(outcome.error))
      }
      connection.request(name, fields, settle, patient)
    })
  }

  // Asked for in a function of its own: the compiler would take the state for what it was before an `await`.
  #is(state: "connecting"): boolean {
    return this.#state === state
  }

  #closedError(): RealtimeError {
    return new RealtimeError("CLOSED", "the client is closed", false)
  }

  #emit<Name extends keyof ClientEvents>(name: Name, value: ClientEvents[Name]): void {
    try {
      this.#events.emit(name, value)
    } catch (error) {
      this.#report(error)
    }
  }

  #report(error: unknown): void {
    if (this.#events.has("error")) this.#events.emit("error", error)
    else console.error("realtime:", error)
  }
}
