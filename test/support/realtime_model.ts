import type { WebSocketConstructor, WebSocketLike } from "../../src/client/environment.ts"
import type { ErrorBody, Position, Publication, Results } from "../../src/client/wire.ts"

type Listener = (event: unknown) => void
type Command = { readonly id: number; readonly type: string; readonly [field: string]: unknown }

/** One end of a network that a test moves by hand: what was sent waits until it is delivered, or is cut off. */
export class ModelSocket implements WebSocketLike {
  readonly url: string
  readyState = 0
  /** Frames under way. */
  readonly up: string[] = []
  readonly down: string[] = []
  /** Positions by channel, as the gateway holds them. */
  readonly subscribed = new Set<string>()
  readonly #listeners = new Map<string, Listener[]>()

  constructor(url: string) {
    this.url = url
  }

  addEventListener(type: string, listener: Listener): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener])
  }

  send(text: string): void {
    if (this.readyState !== 1) throw new Error("sent on a socket that is not open")
    this.up.push(text)
  }

  close(): void {
    this.cut(1006)
  }

  open(): void {
    if (this.readyState !== 0) return
    this.readyState = 1
    this.#emit("open", {})
  }

  /** Everything under way is lost, in both directions. */
  cut(code: number, reason = ""): void {
    if (this.readyState === 3) return
    this.readyState = 3
    this.up.length = 0
    this.down.length = 0
    this.#emit("close", { code, reason })
  }

  receive(frame: string): void {
    this.#emit("message", { data: frame })
  }

  #emit(type: string, event: unknown): void {
    for (const listener of this.#listeners.get(type) ?? []) listener(event)
  }
}

export interface ModelChannel {
  epoch: string
  /** Epochs that lead to this one, and the offsets at which they ended. */
  readonly past: Map<string, number>
  /** All there ever was in the epoch, by offset from 1. */
  readonly log: { readonly data: unknown }[]
  /** The first offset that is still kept. */
  first: number
  readonly ack: boolean
  readonly keys: Map<string, number>
  acked: number
  /** Times of `ack`, by offset. */
  readonly acks: number[]
  /** Nothing is kept at all. */
  readonly noHistory: boolean
}

/** A gateway as the protocol describes it, in a few lines. */
export class ModelGateway {
  readonly sockets: ModelSocket[] = []
  readonly channels = new Map<string, ModelChannel>()
  readonly commands: Command[] = []
  /** Refuses commands: asked before each. */
  refuse: (command: Command) => ErrorBody | "silence" | undefined = () => undefined
  connected: Results["connect"] = { client: "c1", user: "ada", ping: 25 }
  /** Most publications in one reply. */
  page = 1000
  readonly WebSocket: WebSocketConstructor

  constructor() {
    const { sockets } = this
    this.WebSocket = class extends ModelSocket {
      constructor(url: string) {
        super(url)
        sockets.push(this)
      }
    }
  }

  channel(name: string, { ack = false, noHistory = false } = {}): ModelChannel {
    const known = this.channels.get(name)
    if (known !== undefined) return known
    const made: ModelChannel = {
      epoch: "e1",
      past: new Map(),
      log: [],
      first: 1,
      ack,
      keys: new Map(),
      acked: 0,
      acks: [],
      noHistory,
    }
    this.channels.set(name, made)
    return made
  }

  /** Another epoch, after the newest `lost` publications went: subscribers are told to come again. */
  restart(name: string, lost = 0): void {
    const channel = this.channel(name)
    channel.log.length -= lost
    for (const [epoch, end] of channel.past) channel.past.set(epoch, Math.min(end, channel.log.length))
    channel.past.set(channel.epoch, channel.log.length)
    channel.epoch = `e${channel.past.size + 1}`
    for (const socket of this.sockets) {
      if (socket.readyState !== 1 || !socket.subscribed.delete(name)) continue
      const told = { push: "unsubscribe", channel: name, resubscribe: true, reason: "it has begun anew" }
      socket.down.push(JSON.stringify(told))
    }
  }

  get socket(): ModelSocket {
    return this.sockets.at(-1)!
  }

  publish(name: string, data: unknown): number {
    const channel = this.channel(name)
    channel.log.push({ data })
    const offset = channel.log.length
    if (channel.noHistory) channel.first = offset + 1
    for (const socket of this.sockets)
      if (socket.readyState === 1 && socket.subscribed.has(name))
        socket.down.push(JSON.stringify({ push: "publication", channel: name, offset, data }))
    return offset
  }

  /** Sends again what was not acknowledged. */
  redeliver(name: string, attempt: number): void {
    const { log, acked } = this.channel(name)
    for (const socket of this.sockets)
      if (socket.readyState === 1 && socket.subscribed.has(name))
        for (let offset = acked + 1; offset <= log.length; offset++) {
          const { data } = log[offset - 1]!
          socket.down.push(JSON.stringify({ push: "publication", channel: name, offset, data, attempt }))
        }
  }

  push(frame: object): void {
    this.socket.down.push(JSON.stringify(frame))
  }

  /** One frame of a socket that is under way, in this direction; `false`: there is none. */
  step(socket: ModelSocket, direction: "up" | "down"): boolean {
    const frame = socket[direction].shift()
    if (frame === undefined) return false
    if (direction === "down") socket.receive(frame)
    else for (const command of [JSON.parse(frame)].flat()) this.#take(socket, command)
    return true
  }

  /** Opens sockets and delivers frames until nothing moves any more. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 3; ) {
      let moved = false
      for (const socket of this.sockets) {
        if (socket.readyState === 0) {
          socket.open()
          moved = true
        }
        while (this.step(socket, "up") || this.step(socket, "down")) moved = true
      }
      await turns()
      quiet = moved ? 0 : quiet + 1
    }
  }

  #take(socket: ModelSocket, command: Command): void {
    this.commands.push(command)
    const refusal = this.refuse(command)
    if (refusal === "silence") return
    const answer = refusal === undefined ? { result: this.#do(socket, command) } : { error: refusal }
    socket.down.push(JSON.stringify({ id: command.id, ...answer }))
    if (command.type === "subscribe" && refusal === undefined) this.#pushRest(socket, command)
  }

  /** What did not fit into the answer follows as pushes. */
  #pushRest(socket: ModelSocket, { channel, since }: Command): void {
    const name = String(channel)
    const { found, complete } = this.#history(name, since as Position | undefined)
    if (since === undefined || !complete) return
    const { log } = this.channel(name)
    for (let offset = (found.at(-1)?.offset ?? log.length) + 1; offset <= log.length; offset++) {
      const { data } = log[offset - 1]!
      socket.down.push(JSON.stringify({ push: "publication", channel: name, offset, data }))
    }
  }

  #do(socket: ModelSocket, command: Command): unknown {
    const name = String(command.channel)
    switch (command.type) {
      case "connect":
        return this.connected
      case "subscribe":
        socket.subscribed.add(name)
        return this.#subscribe(name, command.since as Position | undefined)
      case "unsubscribe":
        socket.subscribed.delete(name)
        return {}
      case "publish":
        return this.#publish(name, command)
      case "history": {
        const { found, complete, newest } = this.#history(name, command.since as Position | undefined)
        return { position: newest, publications: found, complete }
      }
      case "ack":
        return this.#ack(name, Number(command.offset))
      case "presence":
        return { members: [{ client: this.connected.client }] }
      case "rpc":
        return { data: command.data }
      default:
        return {}
    }
  }

  #publish(name: string, { data, key }: Command): Results["publish"] {
    const channel = this.channel(name)
    const known = channel.keys.get(String(key))
    const offset = known ?? this.publish(name, data)
    if (key !== undefined) channel.keys.set(String(key), offset)
    return { position: { epoch: channel.epoch, offset }, duplicate: known !== undefined }
  }

  #ack(name: string, offset: number): object {
    const channel = this.channel(name)
    channel.acks.push(offset)
    channel.acked = Math.max(channel.acked, offset)
    return {}
  }

  #history(
    name: string,
    since: Position | undefined,
  ): { found: Publication[]; complete: boolean; newest: Position; known: Position | undefined } {
    const { epoch, past, log, first } = this.channel(name)
    const newest = { epoch, offset: log.length }
    const end = since === undefined || since.epoch === epoch ? log.length : (past.get(since.epoch) ?? -1)
    if (since !== undefined && since.offset > end)
      return { found: [], complete: false, newest, known: undefined }
    const from = since === undefined ? log.length + 1 : Math.max(since.offset + 1, first)
    const found: Publication[] = []
    for (let offset = from; offset <= log.length && found.length < this.page; offset++)
      found.push({ offset, data: log[offset - 1]!.data })
    const known = since && { epoch, offset: since.offset }
    return { found, complete: since === undefined || since.offset + 1 >= first, newest, known }
  }

  #subscribe(name: string, since: Position | undefined): Results["subscribe"] {
    const { epoch, log, ack } = this.channel(name)
    const { found, complete, newest, known } = this.#history(name, since)
    const more = { more: false, ack, ...(known !== undefined && { since: known }) }
    if (since === undefined || !complete)
      return { ...more, position: newest, recovered: false, publications: [] }
    const offset = found.at(-1)?.offset ?? log.length
    const position = { epoch, offset }
    return { ...more, position, recovered: true, publications: found, more: offset < log.length }
  }
}

/** Lets promises that are settled run what waits for them. */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}
