import { MAX_PUBLICATIONS, type Position, type Publication, type Results } from "./wire.ts"

/** What an intake tells, in this order: what was lost comes before what is taken after it. */
export interface IntakeListener {
  /** Subscribed (again). `whole`: nothing is missing since the tail; `missed`: so many follow that were missed. */
  started(position: Position, whole: boolean, missed: number): void
  /** Each publication once, in order. `false`: there is no room for it now; `resume()` when there is. */
  take(publication: Publication, epoch: string): boolean
  /** What comes after `since` cannot be had any more; it goes on after `position`. */
  lost(since: Position, position: Position): void
  /** Publications after this position are missing: `history()` wants the answer. */
  missing(since: Position): void
}

/**
 * Makes one row of publications, without gap and duplicate, of what replies and pushes bring, and says what cannot be
 * had. A pure state machine.
 */
export class Intake {
  readonly #listener: IntakeListener
  #tail: Position | undefined
  /** Ahead of a gap, while what lies before is asked for. */
  #held: Publication[] = []
  /** The newest one heard of in this epoch. */
  #seen = 0
  #asking = false
  #full = false

  /** `since`: where the caller stopped before. */
  constructor(listener: IntakeListener, since: Position | undefined) {
    this.#listener = listener
    this.#tail = since
  }

  /** The last one taken; `undefined`: nothing was ever subscribed. */
  get tail(): Position | undefined {
    return this.#tail
  }

  /** Begins (again) with the answer to `subscribe`. */
  subscribed({ position, recovered, publications }: Results["subscribe"]): void {
    this.#forget()
    const since = this.#tail
    const first = publications[0]?.offset ?? position.offset + 1
    // The gateway may begin before the tail, with what it was not told of; and may miss only what was taken long ago.
    const reaches = since !== undefined && first - 1 <= since.offset && since.offset <= position.offset
    const whole = since === undefined ? recovered : since.epoch === position.epoch && (recovered || reaches)
    this.#listener.started(
      position,
      whole,
      publications.filter(({ offset }) => offset > (since?.offset ?? 0)).length,
    )
    if (since === undefined || !whole) this.#jump({ epoch: position.epoch, offset: first - 1 })
    for (const each of publications) this.#offer(each)
    this.#seen = Math.max(this.#seen, position.offset)
    this.#catchUp()
  }

  /** A push. */
  pushed(publication: Publication): void {
    if (this.#tail === undefined) return
    this.#offer(publication)
    this.#catchUp()
  }

  /** What came of `missing`; `undefined`: there is no history to be had. */
  history(answer: Results["history"] | undefined): void {
    if (!this.#asking || this.#tail === undefined) return
    this.#asking = false
    const before = this.#tail
    const held = this.#held
    this.#held = []
    if (answer !== undefined) {
      const { position, publications, complete } = answer
      this.#seen = position.epoch === before.epoch ? Math.max(this.#seen, position.offset) : position.offset
      if (!complete || position.epoch !== before.epoch)
        this.#jump({ epoch: position.epoch, offset: (publications[0]?.offset ?? position.offset + 1) - 1 })
      for (const each of publications) this.#offer(each)
    }
    if (this.#tail.epoch === before.epoch) {
      // Where history brought nothing, nothing will: what is ahead is all there is.
      const stuck = this.#tail.offset === before.offset && !this.#full
      const next = held[0]?.offset ?? this.#seen + 1
      if (stuck && next > before.offset + 1) this.#jump({ epoch: before.epoch, offset: next - 1 })
      for (const each of held) this.#offer(each)
    }
    this.#catchUp()
  }

  /** The connection is gone, and with it what was asked for. */
  detached(): void {
    this.#forget()
  }

  /** There is room again. */
  resume(): void {
    if (!this.#full) return
    this.#full = false
    this.#catchUp()
  }

  /** Goes back to this one, as if nothing after it had come: it will come by itself. Of another epoch: nothing happens. */
  back(position: Position): void {
    if (this.#tail?.epoch !== position.epoch || position.offset >= this.#tail.offset) return
    this.#forget()
    this.#tail = position
  }

  /** It goes on after this offset, although what lies between did not come: the gateway gave up on it. */
  skip(offset: number): void {
    if (this.#tail !== undefined && offset > this.#tail.offset)
      this.#jump({ epoch: this.#tail.epoch, offset })
  }

  #forget(): void {
    this.#held = []
    this.#seen = 0
    this.#asking = false
  }

  #jump(position: Position): void {
    const before = this.#tail
    this.#tail = position
    if (before !== undefined && (before.epoch !== position.epoch || before.offset !== position.offset))
      this.#listener.lost(before, position)
  }

  #offer(publication: Publication): void {
    const { offset } = publication
    const { epoch, offset: last } = this.#tail!
    if (offset <= last) return
    this.#seen = Math.max(this.#seen, offset)
    if (offset > last + 1) {
      // Beyond this, what is ahead is asked for again.
      if (!this.#full && this.#held.length < MAX_PUBLICATIONS) this.#held.push(publication)
      return
    }
    if (this.#full) return
    if (this.#listener.take(publication, epoch)) this.#tail = { epoch, offset }
    else this.#full = true
  }

  #catchUp(): void {
    if (this.#asking || this.#full || this.#tail === undefined || this.#seen <= this.#tail.offset) return
    this.#asking = true
    this.#listener.missing(this.#tail)
  }
}
