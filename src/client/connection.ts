import type { Environment, WebSocketLike } from "./environment.ts"
import type { CommandName, Commands, ErrorBody, Push, Reply, Results } from "./wire.ts"

/** What became of a command. `undefined`: the connection ended, or time did, before there was an answer. */
export type Outcome<Name extends CommandName> =
  | { readonly result: Results[Name] }
  | { readonly error: ErrorBody }
  | undefined

/** Called by a connection, one after another, in the order of what arrives. */
export interface ConnectionListener {
  opened(): void
  push(push: Push): void
  /** Once, and nothing after it. `reconnect`: what the gateway said about it, where it did. */
  ended(code: number, reason: string, reconnect: boolean | undefined): void
}

interface Pending {
  readonly settle: (outcome: Outcome<CommandName>) => void
  readonly cancelTimeout: () => void
}

/** RFC 6455 section 7.4.1: ended without a close frame. */
const NO_CLOSE_FRAME = 1006
const OPEN = 1

/** One WebSocket, from its start to its end: commands and their answers, and whether anybody is there. */
export class Connection {
  readonly #environment: Environment
  readonly #listener: ConnectionListener
  readonly #timeoutMs: number
  readonly #socket: WebSocketLike
  readonly #pending = new Map<number, Pending>()
  #cancelWatch: () => void
  #lastId = 0
  #heardAt: number
  /** Whether a ping was sent and nothing heard since. */
  #asked = false
  #ended = false

  /** `timeoutMs`: for the handshake, and for each answer. Throws what the constructor of the WebSocket throws. */
  constructor(url: string, environment: Environment, timeoutMs: number, listener: ConnectionListener) {
    this.#environment = environment
    this.#listener = listener
    this.#timeoutMs = timeoutMs
    this.#heardAt = environment.now()
    this.#socket = new environment.WebSocket(url)
    this.#cancelWatch = environment.after(timeoutMs, () => this.#end(NO_CLOSE_FRAME, "no handshake in time"))
    this.#socket.addEventListener("open", () => {
      if (this.#ended) return
      this.#cancelWatch()
      listener.opened()
    })
    this.#socket.addEventListener("message", (event) => this.#receive(event.data))
    this.#socket.addEventListener("close", (event) => this.#end(event.code, event.reason ?? ""))
    // What went wrong is not told to scripts; `close` follows.
    this.#socket.addEventListener("error", () => {})
  }

  /**
   * Sends a command; `settle` is called once, not before this returns unless the connection has ended. Without an
   * answer in time the connection counts as dead, unless `patient` ms are given: then only this command fails.
   */
  request<Name extends CommandName>(
    type: Name,
    fields: Commands[Name],
    settle: (outcome: Outcome<Name>) => void,
    patient?: number,
  ): void {
    if (this.#ended || this.#socket.readyState !== OPEN) {
      settle(undefined)
      return
    }
    const id = ++this.#lastId
    const cancelTimeout = this.#environment.after(patient ?? this.#timeoutMs, () => {
      if (patient === undefined) {
        this.#end(NO_CLOSE_FRAME, `no answer to ${type} in time`)
        return
      }
      this.#pending.delete(id)
      settle(undefined)
    })
    this.#pending.set(id, { settle: settle as Pending["settle"], cancelTimeout })
    this.#socket.send(JSON.stringify({ ...fields, id, type }))
  }

  /** From now on: asks when nothing was heard for `pingMs`, and ends it when nothing comes for that long again. */
  watch(pingMs: number): void {
    this.#cancelWatch()
    const silentMs = this.#environment.now() - this.#heardAt
    let nextMs = pingMs - silentMs
    if (nextMs <= 0) {
      // Timers of a page in the background come late: silence counts only after a question.
      if (this.#asked) {
        this.#end(NO_CLOSE_FRAME, "nothing heard for too long")
        return
      }
      this.#asked = true
      this.request("ping", {}, () => {}, pingMs)
      nextMs = pingMs
    }
    this.#cancelWatch = this.#environment.after(nextMs, () => this.watch(pingMs))
  }

  /** Ends it from this side. */
  close(code: number, reason: string): void {
    this.#end(code, reason)
  }

  #receive(text: unknown): void {
    if (this.#ended) return
    this.#heardAt = this.#environment.now()
    this.#asked = false
    let frame: unknown
    try {
      frame = JSON.parse(String(text))
    } catch {
      this.#end(NO_CLOSE_FRAME, "a frame is no JSON")
      return
    }
    for (const each of Array.isArray(frame) ? frame : [frame]) this.#take(each as Reply | Push)
  }

  #take(message: Reply | Push): void {
    if (this.#ended) return
    if ("push" in message) {
      if (message.push === "disconnect") this.#end(message.code, message.reason, message.reconnect)
      else this.#listener.push(message)
      return
    }
    const pending = this.#pending.get(message.id)
    if (pending === undefined) return
    this.#pending.delete(message.id)
    pending.cancelTimeout()
    pending.settle(message)
  }

  #end(code: number, reason: string, reconnect?: boolean): void {
    if (this.#ended) return
    this.#ended = true
    this.#cancelWatch()
    // A peer that is gone never answers the close frame: its `close` event is not waited for.
    this.#socket.close(1000)
    const unanswered = [...this.#pending.values()]
    this.#pending.clear()
    for (const { cancelTimeout } of unanswered) cancelTimeout()
    this.#listener.ended(code, reason, reconnect)
    for (const { settle } of unanswered) settle(undefined)
  }
}
