import type { WebSocketOptions, WebSocket as WebSocketType } from "bun"
import type { Position, Publication } from "../../src/realtime/channels/protocol.ts"
import { accessToken } from "./access_token.ts"

// The DOM's constructor type knows nothing of headers.
const Client = WebSocket as unknown as new (url: string, options: WebSocketOptions) => WebSocketType

const RETRY_MS = 50
const ANSWER_MS = 5000

interface Reply {
  readonly id: number
  readonly result?: Record<string, unknown>
  readonly error?: { readonly code: string; readonly temporary: boolean }
}

/** What one channel came to at a participant. */
export interface Taken {
  position: Position | undefined
  readonly data: unknown[]
}

/**
 * One user of `at_least_once` channels who keeps itself connected to any of the gateways there are, subscribes again
 * from where it was, acknowledges, and publishes with a key until it is told the place. It notes what may not happen.
 */
export class Participant {
  readonly user: string
  readonly taken = new Map<string, Taken>()
  /** Sent again, or had already: known by their offsets. */
  duplicates = 0
  /** What breaks the promises of the protocol. */
  readonly wrong: string[] = []
  readonly #url: () => string
  readonly #subscribed = new Set<string>()
  /** Channels by the ids of the commands that asked for them. */
  readonly #asked = new Map<number, string>()
  readonly #replies = new Map<number, (reply: Reply | undefined) => void>()
  #socket: WebSocketType | undefined
  #ready: PromiseWithResolvers<void> = Promise.withResolvers()
  #ids = 0
  #over = false

  /** `url`: of the endpoint of a gateway, another each time perhaps. */
  constructor(user: string, channels: readonly string[], url: () => string) {
    this.user = user
    this.#url = url
    for (const channel of channels) this.taken.set(channel, { position: undefined, data: [] })
    this.#connect()
  }

  /** Whether it is subscribed to all its channels now. */
  get subscribed(): boolean {
    return this.#subscribed.size === this.taken.size
  }

  /** Resolves when it was accepted, however long that takes. */
  async publish(channel: string, data: unknown, key: string): Promise<void> {
    while (!this.#over) {
      await this.#ready.promise
      const reply = await this.#ask({ type: "publish", channel, data, key })
      if (reply?.result !== undefined) return
      if (reply?.error?.temporary === false) this.wrong.push(`publishing: ${reply.error.code}`)
      await Bun.sleep(RETRY_MS)
    }
  }

  /** Breaks the connection. */
  cut(): void {
    this.#socket?.terminate()
  }

  close(): void {
    this.#over = true
    this.#ready.resolve()
    this.#socket?.terminate()
  }

  #connect(): void {
    const headers = { authorization: `Bearer ${accessToken({ id: this.user, tokenId: `t-${this.user}` })}` }
    const socket = new Client(this.#url(), { perMessageDeflate: false, headers })
    this.#socket = socket
    let opened = false
    socket.onopen = () => {
      opened = true
      this.#ready.resolve()
      for (const channel of this.taken.keys()) void this.#subscribe(channel)
    }
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(String(data)))
    socket.onclose = ({ code }) => {
      if (code >= 4500 && code < 5000) this.wrong.push(`closed with ${code}`)
      // Who waits already, waits on.
      if (opened) this.#ready = Promise.withResolvers()
      this.#subscribed.clear()
      this.#asked.clear()
      for (const settle of [...this.#replies.values()]) settle(undefined)
      if (this.#over) this.#ready.resolve()
      else setTimeout(() => this.#over || this.#connect(), RETRY_MS * (0.5 + Math.random()))
    }
  }

  /** `undefined`: nobody knows. */
  #ask(command: Record<string, unknown>): Promise<Reply | undefined> {
    const socket = this.#socket
    if (socket?.readyState !== WebSocket.OPEN) return Promise.resolve(undefined)
    const id = ++this.#ids
    return new Promise((resolve) => {
      const settle = (reply: Reply | undefined): void => {
        clearTimeout(late)
        this.#replies.delete(id)
        resolve(reply)
      }
      const late = setTimeout(() => {
        settle(undefined)
        // As clients do that are not answered.
        socket.terminate()
      }, ANSWER_MS)
      this.#replies.set(id, settle)
      if (command.type === "subscribe") this.#asked.set(id, command.channel as string)
      socket.send(JSON.stringify({ id, ...command }))
    })
  }

  async #subscribe(channel: string): Promise<void> {
    const socket = this.#socket
    const taken = this.taken.get(channel)!
    while (this.#socket === socket && socket?.readyState === WebSocket.OPEN) {
      const since = taken.position
      const reply = await this.#ask({ type: "subscribe", channel, ...(since !== undefined && { since }) })
      if (reply?.result !== undefined || reply?.error?.code === "ALREADY_SUBSCRIBED") return
      if (reply?.error?.temporary === false) {
        this.wrong.push(`subscribing: ${reply.error.code}`)
        return
      }
      await Bun.sleep(RETRY_MS)
    }
  }

  #hear(
    message: Reply | ({ readonly push: string; readonly channel: string } & Record<string, unknown>),
  ): void {
    if ("push" in message) {
      const { push, channel } = message
      if (push === "publication") this.#take(channel, message as unknown as Publication)
      if (push !== "unsubscribe") return
      this.#subscribed.delete(channel)
      if (message.resubscribe === true) void this.#subscribe(channel)
      else this.wrong.push(`unsubscribed from ${channel}: ${message.reason}`)
      return
    }
    const { result } = message
    // Before anything that comes after it is heard.
    if (result !== undefined && "recovered" in result) this.#begin(message.id, result)
    this.#replies.get(message.id)?.(message)
  }

  #begin(id: number, result: Record<string, unknown>): void {
    const channel = this.#asked.get(id)!
    this.#asked.delete(id)
    const taken = this.taken.get(channel)!
    const { position, recovered, publications } = result as {
      readonly position: Position
      readonly recovered: boolean
      readonly publications: readonly Publication[]
    }
    const before = taken.position
    if (before !== undefined && !recovered) this.wrong.push(`${channel} began anew after ${before.offset}`)
    const offset =
      before === undefined || !recovered
        ? (publications[0]?.offset ?? position.offset + 1) - 1
        : before.offset
    taken.position = { epoch: position.epoch, offset }
    for (const publication of publications) this.#take(channel, publication)
    this.#subscribed.add(channel)
  }

  #take(channel: string, { offset, data }: Publication): void {
    const taken = this.taken.get(channel)!
    const { position } = taken
    if (position === undefined || offset > position.offset + 1)
      this.wrong.push(`${channel} has ${offset} after ${position?.offset}`)
    else if (offset <= position.offset) this.duplicates++
    else {
      taken.position = { epoch: position.epoch, offset }
      taken.data.push(data)
    }
    if (this.#socket?.readyState === WebSocket.OPEN) {
      const upTo = taken.position?.offset ?? 0
      this.#socket.send(JSON.stringify({ id: ++this.#ids, type: "ack", channel, offset: upTo }))
    }
  }
}
