import type { Position, Publication } from "./wire.ts"

export interface DeliveryOwner {
  listened(): boolean
  /** Calls the listeners; returns what they return, throws what they throw. */
  call(publication: Publication): readonly unknown[]
  /** What the listeners returned has resolved. */
  handled(position: Position): void
  /** One threw or rejected; those that waited behind it are forgotten if `forget()` says so. */
  failed(position: Position, error: unknown): void
  /** None waits any more. */
  idle(): void
}

interface Waiting {
  readonly publication: Publication
  readonly epoch: string
}

/** Publications that wait; more are refused. */
const MAX_WAITING = 10_000

/** Gives publications to listeners, the next one when the one before was handled. Without listeners they wait. */
export class Delivery {
  readonly #owner: DeliveryOwner
  readonly #waiting: Waiting[] = []
  #busy = false

  constructor(owner: DeliveryOwner) {
    this.#owner = owner
  }

  /** Neither at work nor anything waiting. */
  get idle(): boolean {
    return !this.#busy && this.#waiting.length === 0
  }

  /** `false`: too many wait; `idle()` is called when there is room. */
  push(publication: Publication, epoch: string): boolean {
    if (this.#waiting.length >= MAX_WAITING) return false
    this.#waiting.push({ publication, epoch })
    this.next()
    return true
  }

  forget(): void {
    this.#waiting.length = 0
  }

  /** Goes on, if it can: a listener has come. */
  next(): void {
    if (this.#busy || !this.#owner.listened()) return
    const next = this.#waiting.shift()
    if (next === undefined) {
      this.#owner.idle()
      return
    }
    this.#busy = true
    const position = { epoch: next.epoch, offset: next.publication.offset }
    this.#call(next.publication).then(
      () => {
        this.#busy = false
        this.#owner.handled(position)
        this.next()
      },
      (error: unknown) => {
        this.#busy = false
        this.#owner.failed(position, error)
        this.next()
      },
    )
  }

  async #call(publication: Publication): Promise<void> {
    await Promise.all(this.#owner.call(publication))
  }
}
