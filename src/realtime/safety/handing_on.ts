import type { Clock } from "../../lib/clock.ts"

/** To whom something is handed on. */
export type Receiver = "service" | "channel" | "gateways"
export type HandedOn = "delivered" | "failed" | "given_up"

/** One thing that must reach one receiver. */
export interface Errand {
  /** Id of the event. */
  readonly event: string
  readonly to: Receiver
  readonly giveUpAfterMs: number
  /** In whose share of the errands it is; "": in nobody's. */
  readonly sharer: string
  /** Whether it was taken. Never rejects. */
  readonly attempt: (attempts: number) => Promise<boolean>
}

interface Waiting {
  readonly errand: Errand
  readonly since: number
  attempts: number
  running: boolean
  dueAt: number
}

export interface HandingOnOptions {
  readonly now: Clock
  readonly onResult: (errand: Errand, result: HandedOn, attempts: number) => void
}

/** Errands at a time; beyond, no further event is taken. */
const MAX_ERRANDS = 10_000
/** Of one sharer, so that nobody keeps out the events of all others. */
const MAX_OF_ONE = 1000
const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 15_000

/** Tries each errand at once, and again with longer and longer pauses until it is done or its time is over. */
export class HandingOn {
  readonly #options: HandingOnOptions
  readonly #waiting = new Set<Waiting>()
  /** How many of them are whose. */
  readonly #shares = new Map<string, number>()

  constructor(options: HandingOnOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#waiting.size
  }

  /** Whether so many more may come from there. */
  hasRoom(errands: number, sharer: string): boolean {
    if (this.#waiting.size + errands > MAX_ERRANDS) return false
    return sharer === "" || (this.#shares.get(sharer) ?? 0) + errands <= MAX_OF_ONE
  }

  start(errand: Errand): void {
    const since = this.#options.now()
    const waiting: Waiting = { errand, since, attempts: 0, running: false, dueAt: since }
    this.#waiting.add(waiting)
    this.#share(errand, 1)
    void this.#try(waiting)
  }

  /** Call about once a second. */
  tick(): void {
    const now = this.#options.now()
    for (const waiting of this.#waiting) if (!waiting.running && waiting.dueAt <= now) void this.#try(waiting)
  }

  async #try(waiting: Waiting): Promise<void> {
    const { now, onResult } = this.#options
    const { errand, since } = waiting
    waiting.running = true
    const taken = await errand.attempt(waiting.attempts++)
    waiting.running = false
    if (taken) {
      this.#done(waiting)
      onResult(errand, "delivered", waiting.attempts)
      return
    }
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** Math.min(waiting.attempts - 1, 10), LONGEST_PAUSE_MS)
    waiting.dueAt = now() + pause
    const over = waiting.dueAt - since > errand.giveUpAfterMs
    if (over) this.#done(waiting)
    onResult(errand, over ? "given_up" : "failed", waiting.attempts)
  }

  #done(waiting: Waiting): void {
    this.#waiting.delete(waiting)
    this.#share(waiting.errand, -1)
  }

  #share({ sharer }: Errand, change: 1 | -1): void {
    if (sharer === "") return
    const share = (this.#shares.get(sharer) ?? 0) + change
    if (share === 0) this.#shares.delete(sharer)
    else this.#shares.set(sharer, share)
  }
}
