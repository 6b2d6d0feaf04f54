import type { Principal } from "../../identity/principal.ts"
import { byteLength } from "../downlink.ts"
import { type ClientSocket, type SocketHandler, type TextSocket, worthCompressing } from "../socket.ts"
import type { FrameCodec } from "./message_pack.ts"
import { BURST_BYTES, Outgoing } from "./outgoing.ts"
import { CLOSE_CODES, type CloseCode, mayReconnect } from "./protocol.ts"
import { Session, type Transport } from "./session.ts"
import type { RealtimeWorld } from "./world.ts"

/** After a close frame the client has this long to answer it. */
const CLOSING_MS = 5000
/** A handshake that was accepted is complete after this long, or never will be. */
const UPGRADE_MS = 10_000

/** A WebSocket that carries a session. */
export class SocketTransport implements SocketHandler {
  readonly #world: RealtimeWorld
  readonly #session: Session
  readonly #outgoing: Outgoing
  readonly #madeAt: number
  /** `undefined`: frames are JSON texts. */
  readonly #codec: FrameCodec | undefined
  #client: ClientSocket | undefined
  #heardAt = 0
  #pingedAt = 0
  #closingAt = 0

  /** `address`: of the client. `principal`: whom the handshake proved. `codec`: of its frames; absent: JSON texts. */
  constructor(
    world: RealtimeWorld,
    address: string,
    principal: Principal | undefined,
    codec?: FrameCodec | undefined,
  ) {
    this.#world = world
    this.#codec = codec
    this.#madeAt = world.now()
    const outgoing = new Outgoing({
      member: this,
      slow: world.slow,
      publishedOn: (topic) => world.rooms.publishedOn(topic),
      maxBuffered: () => world.settings.maxBuffered,
      onOverflow: () => this.#session.close(4001),
    })
    this.#outgoing = outgoing
    const transport: Transport = {
      address,
      send: (text) => outgoing.send(text),
      urgent: (text) => outgoing.urgent(text),
      // What is published on topics is text.
      ...(codec === undefined && {
        join: (topic: string) => outgoing.join(topic),
        part: (topic: string) => outgoing.part(topic),
      }),
      read: () => outgoing.read(),
      close: (code) => this.#end(code),
    }
    this.#session = new Session(transport, world, principal)
    world.sockets.add(this)
  }

  open(client: ClientSocket): void {
    this.#client = client
    this.#outgoing.open(this.#codec === undefined ? client : encoding(client, this.#codec))
    this.#heardAt = this.#world.now()
    void this.#session.start()
  }

  message(_client: ClientSocket, data: string | Buffer<ArrayBuffer>): void {
    this.#heardAt = this.#world.now()
    if (byteLength(data) > this.#world.settings.maxMessage) this.#session.close(4505)
    else {
      const text = this.#textOf(data)
      if (text === undefined) this.#session.close(4501)
      else this.#session.receive(text)
    }
  }

  drain(): void {
    this.checkBuffer()
  }

  ping(): void {
    this.#heardAt = this.#world.now()
  }

  pong(_client?: ClientSocket, payload?: Buffer): void {
    this.#heardAt = this.#world.now()
    if (payload !== undefined && this.#closingAt === 0) this.#outgoing.pong(payload.toString("latin1"))
  }

  close(_client: ClientSocket, code: number): void {
    this.#over(code)
  }

  /** The handshake was not completed after all. */
  abandon(): void {
    this.#over(1006)
  }

  /** Whether it reads too slowly to be in topics, or far more waits to be sent than may. */
  checkBuffer(): void {
    if (this.#closingAt === 0) this.#outgoing.check(BURST_BYTES)
  }

  published(frame: string): void {
    this.#outgoing.published(frame)
  }

  /** Pings what is silent and ends what is dead. Call about once a second. */
  tick(now: number): void {
    const client = this.#client
    if (client === undefined) {
      if (now - this.#madeAt > UPGRADE_MS) this.abandon()
      return
    }
    if (this.#closingAt > 0) {
      if (now - this.#closingAt > CLOSING_MS) client.terminate()
      return
    }
    this.#outgoing.check()
    // It may just have been closed.
    if (this.#closingAt > 0) return
    const { pingMs } = this.#world.settings
    if (now - this.#heardAt > 2 * pingMs) this.#session.close(4002)
    else if (now - this.#heardAt > pingMs && now - this.#pingedAt > pingMs) {
      this.#pingedAt = now
      client.ping()
    }
  }

  /** `undefined`: the frame is not of the kind this client chose. */
  #textOf(data: string | Buffer<ArrayBuffer>): string | undefined {
    if (typeof data === "string") return this.#codec === undefined ? data : undefined
    return this.#codec?.decode(data)
  }

  #end(code: CloseCode): void {
    const client = this.#client
    if (client === undefined) return
    this.#closingAt = this.#world.now()
    const reason = CLOSE_CODES[code]
    // A close frame would wait behind all that is not read.
    if (code === 4001) client.terminate()
    else {
      this.#outgoing.flush()
      this.#outgoing.urgent(
        JSON.stringify({ push: "disconnect", code, reason, reconnect: mayReconnect(code) }),
      )
      client.close(code, reason)
    }
  }

  #over(code: number): void {
    this.#world.sockets.delete(this)
    this.#session.over(code)
    this.#outgoing.close()
  }
}

/** A socket that is sent what the texts say, in the codec's frames. */
const encoding = (client: ClientSocket, { encode }: FrameCodec): TextSocket => ({
  send(text) {
    const frame = encode(text)
    return client.send(frame, worthCompressing(frame.byteLength))
  },
  getBufferedAmount: () => client.getBufferedAmount(),
  subscribe: (topic) => void client.subscribe(topic),
  unsubscribe: (topic) => void client.unsubscribe(topic),
  ping: (payload) => client.ping(payload),
})
