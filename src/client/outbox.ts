import type { Connection, Outcome } from "./connection.ts"
import { type Backoff, backoffMs, type Environment } from "./environment.ts"
import { RealtimeError } from "./realtime_error.ts"
import { IDEMPOTENCY_MS, type Results } from "./wire.ts"

export type Published = Results["publish"]

interface Message {
  readonly channel: string
  readonly data: unknown
  readonly key: string
  /** When it was first sent; `undefined`: it was not. */
  sentAt: number | undefined
  attempts: number
  readonly resolve: (published: Published) => void
  readonly reject: (error: RealtimeError) => void
}

/** Before the gateway may have forgotten the key of a message. */
const RESEND_WITHIN_MS = IDEMPOTENCY_MS - 30_000

/**
 * Messages on their way. Those of a channel go one after another, each when the one before was answered: so their order
 * stays, also when one has to be sent again. Each has a key, by which the gateway knows it again.
 */
export class Outbox {
  readonly #environment: Environment
  readonly #backoff: Backoff
  readonly #limit: number
  /** By channel, the first one is under way or next. */
  readonly #waiting = new Map<string, Message[]>()
  #size = 0
  #connection: Connection | undefined

  /** `limit`: messages, of all channels. */
  constructor(environment: Environment, backoff: Backoff, limit: number) {
    this.#environment = environment
    this.#backoff = backoff
    this.#limit = limit
  }

  /** Messages without an answer. */
  get size(): number {
    return this.#size
  }

  /** Rejects with `OUTBOX_FULL` at the limit, with what the gateway refuses it for, with `CLOSED`, or `OUTCOME_UNKNOWN`. */
  publish(channel: string, data: unknown, key: string): Promise<Published> {
    const { promise, resolve, reject } = deferred<Published>()
    if (this.#size >= this.#limit) {
      reject(new RealtimeError("OUTBOX_FULL", `publishing: ${this.#limit} messages wait already`, true))
      return promise
    }
    this.#size++
    const message = { channel, data, key, sentAt: undefined, attempts: 0, resolve, reject }
    const queue = this.#waiting.get(channel)
    if (queue !== undefined) {
      queue.push(message)
      return promise
    }
    this.#waiting.set(channel, [message])
    this.#send(message)
    return promise
  }

  /** The connection is ready: everything without an answer is sent (again). */
  attach(connection: Connection): void {
    this.#connection = connection
    for (const [first] of [...this.#waiting.values()]) if (first !== undefined) this.#send(first)
  }

  detach(): void {
    this.#connection = undefined
  }

  close(error: RealtimeError): void {
    this.#connection = undefined
    const queues = [...this.#waiting.values()]
    this.#waiting.clear()
    this.#size = 0
    for (const message of queues.flat()) message.reject(error)
  }

  #send(message: Message): void {
    const connection = this.#connection
    if (connection === undefined) return
    const { channel, data, key } = message
    const now = this.#environment.now()
    message.sentAt ??= now
    if (now - message.sentAt > RESEND_WITHIN_MS) {
      const text = "publishing: sent, but whether it was published could not be told in time"
      this.#settle(message, { error: new RealtimeError("OUTCOME_UNKNOWN", text, false) })
      return
    }
    connection.request("publish", { channel, data, key }, (outcome) => this.#answered(message, outcome))
  }

  #answered(message: Message, outcome: Outcome<"publish">): void {
    // The connection is gone: the next one sends it again.
    if (outcome === undefined) return
    if ("result" in outcome || !outcome.error.temporary) {
      this.#settle(message, "result" in outcome ? outcome : { error: RealtimeError.of(outcome.error) })
      return
    }
    const connection = this.#connection
    const waitMs = backoffMs(this.#backoff, message.attempts++, this.#environment.random)
    this.#environment.after(waitMs, () => {
      // Another connection has sent it by itself.
      if (this.#connection === connection && this.#waiting.get(message.channel)?.[0] === message)
        this.#send(message)
    })
  }

  #settle(
    message: Message,
    outcome: { readonly result: Published } | { readonly error: RealtimeError },
  ): void {
    const queue = this.#waiting.get(message.channel)
    if (queue?.[0] !== message) return
    queue.shift()
    this.#size--
    const [next] = queue
    if (next === undefined) this.#waiting.delete(message.channel)
    if ("result" in outcome) message.resolve(outcome.result)
    else message.reject(outcome.error)
    if (next !== undefined) this.#send(next)
  }
}

/** `Promise.withResolvers`, which Node 20 lacks. */
function deferred<Value>(): {
  promise: Promise<Value>
  resolve: (value: Value) => void
  reject: (error: RealtimeError) => void
} {
  let resolve!: (value: Value) => void
  let reject!: (error: RealtimeError) => void
  const promise = new Promise<Value>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}
