import type { Socket } from "bun"
import { type BodyDecoder, bodyDecoder } from "../src/http1/framing.ts"
import { parseResponseHead, type ResponseHead } from "../src/http1/head.ts"

/** Where a load goes. */
export interface LoadTarget {
  readonly hostname: string
  readonly port: number
  /** `undefined`: plain TCP. `serverName`: "" for an address, which has none. */
  readonly tls?: { readonly serverName: string; readonly verify: boolean } | undefined
}

/** One request as it goes over the wire. */
export interface LoadRequest {
  readonly method: string
  readonly bytes: Uint8Array
}

/** What comes of a request, or of the connection. Called once for each request. */
export interface ConnectionEvents {
  /** `keep`: whether the connection may carry another request. */
  answered(connection: LoadConnection, status: number, keep: boolean): void
  /** The connection is gone. `fault` says why; `began`: whether anything of the answer had come. */
  lost(connection: LoadConnection, fault: string, began: boolean): void
}

/** The fault of a connection that ended too early. */
export const CLOSED = "closed before the answer was complete"

const MAX_HEAD_BYTES = 64 * 1024
const NOTHING = Buffer.alloc(0)

/** One kept HTTP/1.1 connection of a load, with one request at a time; as strict with answers as the gateway. */
export class LoadConnection {
  readonly #events: ConnectionEvents
  #socket: Socket | undefined
  #request: LoadRequest | undefined
  /** What of the request the socket has not taken yet. */
  #unsent: Uint8Array = NOTHING
  /** Bytes of a head that is not complete. */
  #held: Buffer = NOTHING
  #head: ResponseHead | undefined
  #decoder: BodyDecoder | undefined
  #over = false

  /** Connects, and sends `request` as soon as it can. */
  constructor(target: LoadTarget, request: LoadRequest, events: ConnectionEvents) {
    this.#events = events
    this.#request = request
    const { hostname, port, tls } = target
    const name = tls === undefined || tls.serverName === "" ? {} : { serverName: tls.serverName }
    Bun.connect({
      hostname,
      port,
      ...(tls === undefined ? {} : { tls: { rejectUnauthorized: tls.verify, ...name } }),
      socket: {
        open: (socket) => {
          this.#socket = socket
          if (this.#over) socket.terminate()
          else if (tls === undefined) this.#start(request)
        },
        handshake: (_socket, success, error: NodeJS.ErrnoException | null) => {
          // Without `verify` a certificate that does not fit still counts as a failure here, and the connection stays.
          if (success || (tls?.verify === false && error?.code !== "EPROTO")) this.#start(request)
          else this.#lose(`tls: ${error?.message ?? "failed"}`)
        },
        data: (_socket, bytes) => this.#receive(bytes),
        drain: () => this.#write(),
        close: () => this.#closed(),
        error: (_socket, error) => this.#lose(`connection: ${error.message}`),
      },
    }).catch((error: NodeJS.ErrnoException) => this.#lose(`connect: ${error.code ?? error.message}`))
  }

  /** Sends another request; only after the answer to the one before, and where that said `keep`. */
  send(request: LoadRequest): void {
    this.#request = request
    this.#start(request)
  }

  /** Ends it without a word to its events. */
  terminate(): void {
    this.#over = true
    this.#socket?.terminate()
  }

  #start(request: LoadRequest): void {
    this.#head = undefined
    this.#decoder = undefined
    this.#unsent = request.bytes
    this.#write()
  }

  #write(): void {
    if (this.#unsent.byteLength === 0) return
    const taken = this.#socket?.write(this.#unsent) ?? 0
    this.#unsent = this.#unsent.subarray(Math.max(taken, 0))
  }

  #receive(bytes: Buffer): void {
    const request = this.#request
    if (this.#over) return
    if (request === undefined) {
      this.#lose("malformed: bytes without a request")
      return
    }
    let at = 0
    if (this.#head === undefined) {
      if (this.#held.length > 0) bytes = Buffer.concat([this.#held, bytes])
      this.#held = NOTHING
      for (;;) {
        const head = parseResponseHead(bytes, MAX_HEAD_BYTES, at)
        if (head.kind === "incomplete") {
          this.#held = bytes.subarray(at)
          return
        }
        if (head.kind === "bad") {
          this.#lose(`malformed: ${head.reason}`)
          return
        }
        at = head.headEnd
        if (head.status >= 200) {
          this.#head = head
          this.#decoder = bodyDecoder(head, request.method)
          break
        }
      }
    }
    if (this.#decoder !== undefined) at = this.#decoder.decode(bytes, at)
    if (at === -1) this.#lose("malformed: broken chunk")
    else if (this.#decoder?.done ?? true) this.#finish(at === bytes.length)
  }

  #finish(clean: boolean): void {
    const { status, persistent } = this.#head!
    // An answer before the whole request was taken leaves the connection in the middle of it.
    const keep = persistent && clean && this.#unsent.byteLength === 0
    this.#request = undefined
    this.#head = undefined
    if (!keep) this.terminate()
    this.#events.answered(this, status, keep)
  }

  #closed(): void {
    if (this.#over) return
    if (this.#decoder?.endsWithConnection === true && this.#head !== undefined) this.#finish(false)
    else this.#lose(CLOSED)
  }

  #lose(fault: string): void {
    if (this.#over) return
    const began = this.#head !== undefined || this.#held.length > 0
    this.terminate()
    this.#events.lost(this, fault, began)
  }
}
