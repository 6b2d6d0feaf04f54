import type { Socket } from "bun"
import { until } from "./until.ts"

export interface RawResponse {
  readonly status: number
  /** Status line and header lines as sent. */
  readonly head: string
  /** Value of a header; lines of one name joined with ", ". Name in lower case. */
  header(name: string): string | undefined
  /** All values of a header, one a line. */
  all(name: string): string[]
  /** Decoded body as latin1. */
  readonly body: string
  /** False when the connection ended before the message did. */
  readonly complete: boolean
}

export interface RawClientOptions {
  tls?: boolean
  /** Methods of the requests in order, where a HEAD is among them. */
  methods?: readonly string[]
  /** Keeps only the count of bytes. */
  countOnly?: boolean
  /** Keeps its own side open when the other side sends no more. */
  halfOpen?: boolean
}

/** A client that sends exactly the bytes a test gives it, and shows the bytes that came back. */
export class RawClient {
  /** All bytes received, as latin1. */
  received = ""
  bytesReceived = 0
  closed = false
  readonly #options: RawClientOptions
  #socket: Socket<undefined> | undefined
  #queue: Buffer[] = []
  #queued = 0

  constructor(options: RawClientOptions) {
    this.#options = options
  }

  async connect(port: number): Promise<this> {
    this.#socket = await Bun.connect<undefined>({
      hostname: "127.0.0.1",
      port,
      allowHalfOpen: this.#options.halfOpen === true,
      ...(this.#options.tls ? { tls: { rejectUnauthorized: false } } : {}),
      socket: {
        data: (_socket, bytes) => {
          this.bytesReceived += bytes.length
          if (!this.#options.countOnly) this.received += bytes.latin1Slice()
        },
        drain: () => this.#flush(),
        ...(this.#options.halfOpen && { end: () => undefined }),
        close: () => {
          this.closed = true
        },
        error: () => {
          this.closed = true
        },
      },
    })
    return this
  }

  /** Sends these bytes (a string is latin1); what the socket does not take at once is kept and sent later. */
  send(bytes: string | Uint8Array): this {
    const buffer = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes)
    this.#queue.push(buffer)
    this.#queued += buffer.length
    this.#flush()
    return this
  }

  /** Bytes the socket has not taken yet. */
  get unsent(): number {
    return this.#queued
  }

  pause(): void {
    this.#socket!.pause()
  }

  resume(): void {
    this.#socket!.resume()
  }

  /** RST, now. */
  reset(): void {
    this.#socket!.terminate()
  }

  /** FIN. */
  end(): void {
    this.#socket!.end()
  }

  /** FIN, and reads on; only with `halfOpen`. */
  finish(): void {
    this.#socket!.shutdown()
  }

  /** Waits until what was received holds `text`. */
  async seen(text: string, timeoutMs?: number): Promise<void> {
    await until(
      () => this.received.includes(text),
      `the client to receive ${JSON.stringify(text)}`,
      timeoutMs,
    )
  }

  /** Waits for the connection to be closed by the other side. */
  async ended(timeoutMs?: number): Promise<this> {
    await until(() => this.closed, "the connection to be closed", timeoutMs)
    return this
  }

  /** Waits for this many responses (or the end of the connection) and returns all there are. */
  async responses(count = 1, timeoutMs?: number): Promise<RawResponse[]> {
    const complete = () => this.parsed().filter((each) => each.complete).length
    await until(() => complete() >= count || this.closed, `${count} responses`, timeoutMs)
    return this.parsed()
  }

  /** Waits for one response. Fails when the connection ends without. */
  async response(timeoutMs?: number): Promise<RawResponse> {
    const [first] = await this.responses(1, timeoutMs)
    if (first === undefined) throw new Error("the connection was closed without a response")
    return first
  }

  /** What was received, taken apart. Throws on bytes that are no response. */
  parsed(): RawResponse[] {
    return parseResponses(this.received, this.closed, this.#options.methods ?? [])
  }

  #flush(): void {
    while (this.#queue.length > 0 && !this.closed) {
      const first = this.#queue[0]!
      const taken = this.#socket!.write(first)
      if (taken > 0) this.#queued -= taken
      if (taken < first.length) {
        if (taken > 0) this.#queue[0] = first.subarray(taken)
        return
      }
      this.#queue.shift()
    }
  }
}

export function openClient(port: number, options: RawClientOptions = {}): Promise<RawClient> {
  return new RawClient(options).connect(port)
}

/** Opens a connection, sends the bytes, and returns the responses once there are `count` or it was closed. */
export async function talk(
  port: number,
  bytes: string | Uint8Array,
  count = 1,
  options: RawClientOptions = {},
): Promise<RawResponse[]> {
  const client = await openClient(port, options)
  const responses = await client.send(bytes).responses(count)
  client.reset()
  return responses
}

/** As `talk`, for bytes after which the other side must close; all responses until then. */
export async function talkToEnd(port: number, bytes: string | Uint8Array): Promise<RawResponse[]> {
  const client = await openClient(port)
  await client.send(bytes).ended()
  return client.parsed()
}

function parseResponses(text: string, closed: boolean, methods: readonly string[]): RawResponse[] {
  const found: RawResponse[] = []
  let finals = 0
  for (let at = 0; at < text.length; ) {
    const headEnd = text.indexOf("\r\n\r\n", at)
    if (headEnd < 0) return found
    const head = text.slice(at, headEnd)
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1])
    if (Number.isNaN(status)) throw new Error(`no response: ${JSON.stringify(head.slice(0, 80))}`)
    const lines = head.split("\r\n").slice(1)
    const all = (name: string) =>
      lines
        .filter((line) => line.toLowerCase().startsWith(`${name}:`))
        .map((line) => line.slice(name.length + 1).trim())
    const header = (name: string) => (all(name).length === 0 ? undefined : all(name).join(", "))
    at = headEnd + 4
    const headless = status < 200 || status === 204 || status === 304 || methods[finals] === "HEAD"
    if (status >= 200) finals++
    const taken = headless ? { body: "", end: at, complete: true } : takeBody(text, at, header, closed)
    found.push({ status, head, header, all, body: taken.body, complete: taken.complete })
    if (!taken.complete) return found
    at = taken.end
  }
  return found
}

function takeBody(text: string, at: number, header: (name: string) => string | undefined, closed: boolean) {
  if (header("transfer-encoding") === "chunked") return takeChunks(text, at)
  const length = header("content-length")
  if (length === undefined) return { body: text.slice(at), end: text.length, complete: closed }
  const end = at + Number(length)
  return { body: text.slice(at, end), end, complete: text.length >= end }
}

function takeChunks(text: string, at: number) {
  let body = ""
  for (;;) {
    const line = text.indexOf("\r\n", at)
    if (line < 0) return { body, end: text.length, complete: false }
    const size = Number.parseInt(text.slice(at, line), 16)
    at = line + 2
    if (text.length < at + size + 2) return { body: body + text.slice(at), end: text.length, complete: false }
    body += text.slice(at, at + size)
    at += size + 2
    if (size === 0) return { body, end: at, complete: true }
  }
}
