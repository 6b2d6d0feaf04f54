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
  epoch: string
}

/** Publications that wait; more are refused. */
const MAX_WAITING = 10_000

/** Gives publications to listeners, the next one when the one before was handled. Without listeners they wait. */
export class Delivery {
  readonly #owner: DeliveryOwner
  readonly #waiting: Waiting[] = []
  /** With the listeners now. */
  #busy: Waiting | undefined

  constructor(owner: DeliveryOwner) {
    this.#owner = owner
  }

  /** Neither at work nor anything waiting. */
  get idle(): boolean {
    return this.#busy === undefined && this.#waiting.length === 0
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

  /** Those of an epoch that is over stand at the same offsets of this one. */
  move(from: string, to: string): void {
    for (const each of this.#busy === undefined ? this.#waiting : [this.#busy, ...this.#waiting])
      if (each.epoch === from) each.epoch = to
  }

  /** Goes on, if it can: a listener has come. */
  next(): void {
    if (this.#busy !== undefined || !this.#owner.listened()) return
    const next = this.#waiting.shift()
    if (next === undefined) {
      this.#owner.idle()
      return
    }
    this.#busy = next
    // Its epoch may be another one by then.
    const done = (): Position => {
      this.#busy = undefined
      return { epoch: next.epoch, offset: next.publication.offset }
    }
    this.#call(next.publication).then(
      () => {
        this.#owner.handled(done())
        this.next()
      },
      (error: unknown) => {
        this.#owner.failed(done(), error)
        this.next()
      },
    )
  }

  async #call(publication: Publication): Promise<void> {
    await Promise.all(this.#owner.call(publication))
  }
}
