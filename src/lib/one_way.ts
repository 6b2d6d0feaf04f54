/** What can be told to stop and go on. */
export interface Pausable {
  pause(): unknown
  resume(): unknown
}

/** Where bytes are written. `write` tells how many it took; below zero: it is closing, and will say so. */
export interface ByteSink {
  write(bytes: Buffer): number
  /** Nothing more comes; what it has taken still goes out. */
  shutdown(): unknown
}

/**
 * One direction between two joined sockets. What the sink does not take at once waits here, and the source is paused
 * meanwhile: at most what the runtime reads in one go is held.
 */
export class OneWay {
  #source: Pausable | undefined
  #sink: ByteSink | undefined
  /** `undefined`: nothing waits. An idle connection needs no list. */
  #waiting: Buffer[] | undefined
  #paused = false
  #ended = false

  /** Both ends as soon as they are there. */
  attach(ends: { readonly source?: Pausable; readonly sink?: ByteSink }): void {
    this.#source = ends.source ?? this.#source
    this.#sink = ends.sink ?? this.#sink
    this.drained()
  }

  /** Nothing waits. */
  get empty(): boolean {
    return this.#waiting === undefined
  }

  carry(bytes: Buffer): void {
    let taken = 0
    if (this.#sink !== undefined && this.#waiting === undefined) taken = this.#sink.write(bytes)
    // Below zero the sink is closing, and will say so.
    if (taken < 0 || taken === bytes.length) return
    const left = taken === 0 ? bytes : bytes.subarray(taken)
    if (this.#waiting === undefined) this.#waiting = [left]
    else this.#waiting.push(left)
    if (this.#paused) return
    this.#paused = true
    this.#source?.pause()
  }

  /** The sink takes bytes again. */
  drained(): void {
    if (this.#sink === undefined) return
    const waiting = this.#waiting ?? []
    while (waiting.length > 0) {
      const first = waiting[0]!
      const taken = this.#sink.write(first)
      if (taken < 0) return
      if (taken < first.length) {
        waiting[0] = first.subarray(taken)
        return
      }
      waiting.shift()
    }
    this.#waiting = undefined
    if (this.#ended) this.#sink.shutdown()
    else if (this.#paused) {
      this.#paused = false
      this.#source?.resume()
    }
  }

  /** The source sends no more: once all has gone out, the sink is told so. The other direction goes on. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.drained()
  }
}
