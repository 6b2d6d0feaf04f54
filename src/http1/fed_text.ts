import type { BodySink, BodySource } from "./body.ts"

const encoder = new TextEncoder()

/** A body whose text is written as it comes about; what the reader does not take yet is kept up to a bound. */
export class FedText implements BodySource {
  readonly length = undefined
  readonly #maxBytes: number
  readonly #onLeft: () => void
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #sink: BodySink | undefined
  #full = false
  /** Whoever wants to write more waits for it. */
  #read: PromiseWithResolvers<void> | undefined
  #state: "open" | "ending" | "over" = "open"

  /** `maxBytes`: what may wait. `onLeft`: called once if the reader leaves before the end. */
  constructor(maxBytes: number, onLeft: () => void) {
    this.#maxBytes = maxBytes
    this.#onLeft = onLeft
  }

  /** `false`: more waits than may, or it is over. */
  write(text: string): boolean {
    if (this.#state !== "open") return false
    const bytes = encoder.encode(text)
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.byteLength
    this.#drain()
    return this.#waitingBytes <= this.#maxBytes
  }

  /** Resolves when the reader has taken all there was, or it is over. `undefined`: so it is. */
  read(): Promise<void> | undefined {
    if (this.#waiting.length === 0) return undefined
    this.#read ??= Promise.withResolvers()
    return this.#read.promise
  }

  /** No more comes; what waits is still given. */
  end(): void {
    if (this.#state !== "open") return
    this.#state = "ending"
    this.#drain()
  }

  /** Breaks off in the middle. */
  abort(reason: string): void {
    if (this.#state === "over") return
    this.#over()
    this.#sink?.abort(reason)
  }

  flow(sink: BodySink): void {
    this.#sink = sink
    this.#drain()
  }

  resume(): void {
    this.#full = false
    this.#drain()
  }

  cancel(): void {
    if (this.#state === "over") return
    this.#over()
    this.#onLeft()
  }

  #over(): void {
    this.#state = "over"
    this.#waiting = []
    this.#waitingBytes = 0
    this.#resolveRead()
  }

  #resolveRead(): void {
    this.#read?.resolve()
    this.#read = undefined
  }

  #drain(): void {
    const sink = this.#sink
    if (sink === undefined) return
    while (!this.#full && this.#waiting.length > 0) {
      const next = this.#waiting.shift()!
      this.#waitingBytes -= next.byteLength
      this.#full = !sink.write(next)
    }
    if (this.#waiting.length > 0) return
    this.#resolveRead()
    if (this.#state !== "ending") return
    this.#over()
    sink.end()
  }
}
