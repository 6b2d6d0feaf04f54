import { StoreError } from "./sql.ts"

interface Waiter {
  readonly start: () => void
  readonly refuse: (error: StoreError) => void
  readonly timer: ReturnType<typeof setTimeout>
}

/**
 * Who may use the database now: `places` callers at once, then a queue of at most `maxWaiting`, each for at most
 * `waitMs`. Beyond either, "busy".
 */
export class Turns {
  #free: number
  readonly #maxWaiting: number
  readonly #waitMs: number
  /** In order of arrival. */
  readonly #waiting = new Set<Waiter>()
  readonly #places: number
  #idle: (() => void) | undefined

  constructor(places: number, maxWaiting: number, waitMs: number) {
    this.#places = places
    this.#free = places
    this.#maxWaiting = maxWaiting
    this.#waitMs = waitMs
  }

  /** Waits for a place; `give` returns it. Rejects with "busy". */
  take(): Promise<void> {
    if (this.#free > 0) {
      this.#free--
      return Promise.resolve()
    }
    if (this.#waiting.size >= this.#maxWaiting)
      return Promise.reject(
        new StoreError("busy", `asking the store: ${this.#maxWaiting} others wait already`),
      )
    return new Promise((start, refuse) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(waiter)
        refuse(new StoreError("busy", `asking the store: no turn within ${this.#waitMs} ms`))
      }, this.#waitMs)
      const waiter = { start, refuse, timer }
      this.#waiting.add(waiter)
    })
  }

  /** Gives a place back: to who has waited longest. */
  give(): void {
    const [next] = this.#waiting
    if (next !== undefined) {
      this.#waiting.delete(next)
      clearTimeout(next.timer)
      next.start()
      return
    }
    this.#free++
    if (this.#free === this.#places) this.#idle?.()
  }

  /** Refuses all who wait, and resolves when nobody has a place any more. For the end. */
  async drain(error: StoreError): Promise<void> {
    for (const waiter of this.#waiting) {
      clearTimeout(waiter.timer)
      waiter.refuse(error)
    }
    this.#waiting.clear()
    if (this.#free < this.#places) await new Promise<void>((idle) => (this.#idle = idle))
  }
}
