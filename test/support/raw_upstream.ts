import type { Socket, SocketHandler } from "bun"
import { until } from "./until.ts"

export interface RawOptions {
  /** Path of a Unix socket instead of a port. */
  unix?: string
  tls?: { key: string; cert: string }
}

/** Called for each complete request head; a body announced by content-length is skipped before the next. */
export type RawScript = (connection: RawConnection, head: string) => unknown

/** One connection of a client to the raw upstream. */
export class RawConnection {
  /** All bytes received, as latin1. */
  received = ""
  bytesReceived = 0
  closed = false
  /** Keeps only the count of received bytes. */
  countOnly = false
  readonly #socket: Socket<RawConnection>
  readonly #script: RawScript
  #queue: Buffer[] = []
  #closing = false
  #scanned = 0

  constructor(socket: Socket<RawConnection>, script: RawScript) {
    this.#socket = socket
    this.#script = script
  }

  /** Sends exactly these bytes (a string is latin1), also when the socket takes them only in parts. */
  write(bytes: string | Uint8Array): this {
    this.#queue.push(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes))
    this.flush()
    return this
  }

  /** Sends the parts one by one, with a turn of the loop between them so that they are read apart. */
  async writeParts(parts: readonly string[]): Promise<void> {
    for (const part of parts) {
      this.write(part)
      await Bun.sleep(1)
    }
  }

  /** FIN after what was written. */
  end(): void {
    this.#closing = true
    this.flush()
  }

  /** RST, now. */
  reset(): void {
    this.#socket.terminate()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Bytes the socket has not taken yet. */
  get unsent(): number {
    return this.#queue.reduce((sum, each) => sum + each.length, 0)
  }

  /** Waits until the received bytes hold `text`. */
  async seen(text: string): Promise<void> {
    await until(() => this.received.includes(text), `the upstream to receive ${JSON.stringify(text)}`)
  }

  flush(): void {
    while (this.#queue.length > 0) {
      const taken = this.#socket.write(this.#queue[0]!)
      if (taken < this.#queue[0]!.length) {
        if (taken > 0) this.#queue[0] = this.#queue[0]!.subarray(taken)
        return
      }
      this.#queue.shift()
    }
    if (this.#closing) this.#socket.end()
  }

  take(bytes: Buffer): void {
    this.bytesReceived += bytes.length
    if (this.countOnly) return
    this.received += bytes.latin1Slice()
    for (;;) {
      const end = this.received.indexOf("\r\n\r\n", this.#scanned)
      if (end < 0) return
      const head = this.received.slice(this.#scanned, end + 4)
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
      this.#scanned = end + 4 + length
      if (/^[A-Z]+ /.test(head)) this.#script(this, head)
    }
  }
}

/** A server that sends exactly the bytes a test gives it, and does to its connections what the test wants. */
export class RawUpstream {
  readonly connections: RawConnection[] = []
  readonly #listener: { stop(closeActive?: boolean): void }
  readonly url: string

  constructor(script: RawScript, options: RawOptions = {}) {
    const handlers: SocketHandler<RawConnection> = {
      open: (socket) => {
        socket.data = new RawConnection(socket, script)
        this.connections.push(socket.data)
      },
      data: (socket, bytes) => socket.data.take(bytes),
      drain: (socket) => socket.data.flush(),
      close: (socket) => {
        socket.data.closed = true
      },
      error: (_socket, error) => {
        throw error
      },
    }
    if (options.unix !== undefined) {
      this.#listener = Bun.listen({ unix: options.unix, socket: handlers })
      this.url = `unix:${options.unix}`
    } else {
      const listener = Bun.listen({
        hostname: "127.0.0.1",
        port: 0,
        socket: handlers,
        ...(options.tls === undefined ? {} : { tls: options.tls }),
      })
      this.#listener = listener
      this.url = `${options.tls === undefined ? "http" : "https"}://127.0.0.1:${listener.port}`
    }
  }

  /** The connection made last. */
  get last(): RawConnection {
    return this.connections.at(-1)!
  }

  stop(): void {
    this.#listener.stop(true)
  }
}
