import type { RawSocket } from "../one_way.ts"

/** What a client sends ahead of its turn waits up to here; then the socket is read no further. */
const MAX_AHEAD_BYTES = 65_536

/** The receiving half of a client's connection: reads on or not, and keeps what came too early. */
export class Intake {
  readonly #socket: RawSocket
  #ahead: Buffer | undefined
  #paused = false

  constructor(socket: RawSocket) {
    this.#socket = socket
  }

  /** Keeps what follows `at` until its turn. */
  keep(bytes: Buffer, at: number): void {
    const more = at === 0 ? bytes : bytes.subarray(at)
    this.#ahead = this.#ahead === undefined ? more : Buffer.concat([this.#ahead, more])
    if (this.#ahead.length > MAX_AHEAD_BYTES) this.pause()
  }

  /** What was kept; `undefined`: nothing. Reads on. */
  take(): Buffer | undefined {
    const ahead = this.#ahead
    this.#ahead = undefined
    this.resume()
    return ahead
  }

  pause(): void {
    if (this.#paused) return
    this.#paused = true
    this.#socket.pause()
  }

  /** Reads on; true when it had stopped. */
  resume(): boolean {
    if (!this.#paused) return false
    this.#paused = false
    this.#socket.resume()
    return true
  }
}
