import type { Writer } from "../../http1/writer.ts"
import type { LaneLimits } from "./owner.ts"
import { Stillness } from "./stillness.ts"

/** After the last answer, the client has this long to close its side. */
const LINGER_MS = 10_000

/**
 * What a connection waits for: a request to begin, the rest of a head, an answer, the rest of a body nobody wants, the
 * client to close.
 */
export type Awaited = "request" | "head" | "answer" | "rest" | "close"

/** How long a client may keep a connection waiting, judged by sweeps that look now and then. */
export class Patience {
  /** Bytes came. */
  readonly received = new Stillness()
  /** The socket took bytes, or there were none to take. */
  readonly #sent = new Stillness()
  #taken = 0
  #awaited: Awaited | undefined
  #since = 0

  /** What came of writing, before `overdue` judges. */
  wrote({ empty, taken }: Writer): void {
    if (empty || taken !== this.#taken) this.#sent.moved = true
    this.#taken = taken
  }

  /** Another request has begun. */
  renew(): void {
    this.#awaited = undefined
  }

  /** Whether it has waited too long. `at`: the time now. */
  overdue(awaited: Awaited, at: number, { headMs, idleMs, silenceMs }: LaneLimits): boolean {
    const quietMs = this.received.at(at)
    const stuckMs = this.#sent.at(at)
    if (awaited !== this.#awaited) {
      this.#awaited = awaited
      this.#since = at
    }
    if (silenceMs > 0 && stuckMs > silenceMs) return true
    switch (awaited) {
      case "request":
        return quietMs > idleMs
      case "head":
        return at - this.#since > headMs
      case "rest":
        return silenceMs > 0 && quietMs > silenceMs
      case "close":
        return at - this.#since > LINGER_MS
      case "answer":
        return false
    }
  }
}
