import type { RawSocket } from "../raw_socket.ts"
import type { Stillness } from "./stillness.ts"

/** What a client sends ahead of its turn waits up to here; then the socket is read no further. */
const MAX_AHEAD_BYTES = 65_536

/** The receiving half of a client's connection: reads on or not, and keeps what came too early. */
export class Intake {
  readonly #socket: RawSocket
  #ahead: Buffer | undefined
  #paused = false

  readonly #quiet: Stillness

  /** `quiet` is told when it reads on: what comes then was not waited for before. */
  constructor(socket: RawSocket, quiet: Stillness) {
    this.#socket = socket
    this.#quiet = quiet
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

  /** Reads on, if it had stopped. */
  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#quiet.moved = true
    this.#socket.resume()
  }
}
