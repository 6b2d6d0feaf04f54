import type { BodySink, BodySource } from "../http1/body.ts"
import type { Clock } from "../lib/clock.ts"

/** When an upload is too slow. */
export interface UploadLimits {
  /** Longest silence in ms while the gateway is reading; 0: any. */
  readonly silenceMs: number
  /** Slowest average in bytes a second once `GRACE_MS` have passed; 0: any. */
  readonly minBytesPerSecond: number
}

/** An upload's first seconds do not count towards its rate: handshakes and slow starts take them. */
export const GRACE_MS = 10_000

/**
 * Where the client may still send more than this of its request, the answer closes the connection; less is
 * read and thrown away, as a client that is cut off while it sends may not see the answer.
 */
export const UNREAD_BYTES = 1_048_576

/** Up to this size the runtime's own collection is cheapest; it shows no progress, so the total time is bounded. */
const QUICK_BYTES = 16_384

/** A request body of the Serve door, read only as fast as it is taken. */
export class Upload implements BodySource {
  readonly length: number | undefined
  readonly #request: Request
  readonly #clock: Clock
  readonly #onBytes: (count: number) => void
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined
  #sink: BodySink | undefined
  #wake: (() => void) | undefined
  #waiting = false
  #stopped = false
  #complete = false
  #received = 0
  #startedAt = 0
  #quietSince = 0
  /** Time in which the service, not the client, held the body up. */
  #heldMs = 0
  #heldSince = 0

  constructor(request: Request, length: number | undefined, clock: Clock, onBytes: (count: number) => void) {
    this.#request = request
    this.length = length
    this.#clock = clock
    this.#onBytes = onBytes
  }

  flow(sink: BodySink): void {
    this.#sink = sink
    this.#start()
    this.#reader = this.#request.body?.getReader() as ReadableStreamDefaultReader<Uint8Array> | undefined
    void this.#pump(sink)
  }

  resume(): void {
    if (!this.#waiting) return
    this.#waiting = false
    this.#heldMs += this.#clock() - this.#heldSince
    this.#quietSince = this.#clock()
    this.#wake?.()
  }

  cancel(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#wake?.()
    // The runtime reports an error here when the client is gone already; there is nobody left to tell.
    this.#reader?.cancel().catch(() => {})
  }

  /** The whole body. Rejects when the client breaks off or was too slow. */
  bytes(): Promise<Uint8Array> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    const chunks: Uint8Array[] = []
    const collect: BodySink = {
      write: (chunk) => chunks.push(chunk) > 0,
      end: () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)),
      abort: (reason) => reject(new Error(reason)),
    }
    if (this.length === undefined || this.length > QUICK_BYTES) {
      this.flow(collect)
      return promise
    }
    const broken = (error: unknown): void => {
      this.#stopped = true
      reject(error)
    }
    this.#start()
    this.#sink = collect
    this.#request.bytes().then((bytes) => {
      if (this.#stopped) return
      this.#stopped = this.#complete = true
      this.#onBytes(bytes.byteLength)
      resolve(bytes)
    }, broken)
    return promise
  }

  /** True while bytes are still expected. */
  get running(): boolean {
    return this.#startedAt !== 0 && !this.#stopped
  }

  /** Whether the client is below what `limits` ask for. */
  tooSlow(limits: UploadLimits): boolean {
    if (this.#waiting) return false
    const { silenceMs, minBytesPerSecond } = limits
    const now = this.#clock()
    const activeMs = now - this.#startedAt - this.#heldMs
    if (this.#reader === undefined) {
      // As long as the slowest client allowed would take.
      const slowestMs = minBytesPerSecond === 0 ? 0 : (this.length! * 1000) / minBytesPerSecond
      return silenceMs > 0 && activeMs > Math.max(silenceMs, slowestMs)
    }
    if (silenceMs > 0 && now - this.#quietSince > silenceMs) return true
    return (
      minBytesPerSecond > 0 && activeMs >= GRACE_MS && (this.#received * 1000) / activeMs < minBytesPerSecond
    )
  }

  /** Bytes the client may still send; infinite when it has not said how many. */
  get left(): number {
    return this.#complete ? 0 : (this.length ?? Number.POSITIVE_INFINITY) - this.#received
  }

  /** Ends a body of which no more is wanted: the reader of it is told it broke off. */
  giveUp(reason: string): void {
    if (this.#stopped) return
    const sink = this.#sink
    this.cancel()
    sink?.abort(reason)
  }

  #start(): void {
    this.#startedAt = this.#clock()
    this.#quietSince = this.#startedAt
  }

  async #pump(sink: BodySink): Promise<void> {
    const reader = this.#reader
    if (reader === undefined) {
      this.#stopped = this.#complete = true
      sink.end()
      return
    }
    try {
      for (;;) {
        const { done, value } = await reader.read()
        if (this.#stopped) return
        if (done) {
          this.#stopped = this.#complete = true
          sink.end()
          return
        }
        this.#received += value.byteLength
        this.#onBytes(value.byteLength)
        this.#quietSince = this.#clock()
        if (sink.write(value)) continue
        this.#waiting = true
        this.#heldSince = this.#clock()
        const { promise, resolve } = Promise.withResolvers<void>()
        this.#wake = resolve
        await promise
        if (this.#stopped) return
      }
    } catch (error) {
      if (this.#stopped) return
      this.#stopped = true
      sink.abort(`reading the request body: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}
