import { MAX_PUBLICATIONS, type Position, type Publication, type Results } from "./wire.ts"

/** What an intake tells, in this order: what was lost comes before what is taken after it. */
export interface IntakeListener {
  /** An epoch is over, and another goes on from it: everything up to the tail stands at the same offsets there. */
  moved(from: string, to: string): void
  /**
   * Subscribed (again). `whole`: nothing is missing since the tail; `missed`: so many follow that were missed, and
   * `more` after them.
   */
  started(position: Position, whole: boolean, missed: number, more: boolean): void
  /** Each publication once, in order. `false`: there is no room for it now; `resume()` when there is. */
  take(publication: Publication, epoch: string): boolean
  /** What comes after `since` cannot be had any more; it goes on after `position`. */
  lost(since: Position, position: Position): void
  /** Publications after this position are missing: `history()` wants the answer, and the same object. */
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
  /** What was asked for after this position is under way. */
  #asked: Position | undefined
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
  subscribed({ position, since: known, recovered, publications, more }: Results["subscribe"]): void {
    this.#forget()
    if (known !== undefined) this.#move(known.epoch)
    const since = this.#tail
    const first = publications[0]?.offset ?? position.offset + 1
    // The gateway may begin before the tail, with what it was not told of; and may miss only what was taken long ago.
    const here = known !== undefined || (since?.epoch === position.epoch && since.offset <= position.offset)
    const whole = since === undefined ? recovered : here && (recovered || first - 1 <= since.offset)
    this.#listener.started(
      position,
      whole,
      publications.filter(({ offset }) => offset > (since?.offset ?? 0)).length,
      more,
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

  /** What came of `missing(since)`; `undefined`: there is no history to be had. */
  history(since: Position, answer: Results["history"] | undefined): void {
    const before = this.#tail
    // Asked before the subscription began again, perhaps.
    if (before === undefined || since !== this.#asked) return
    // Pushes may still be of the old epoch: the gateway ends the subscription, and the next one tells where it stands.
    if (answer !== undefined && answer.position.epoch !== before.epoch) return
    this.#asked = undefined
    const held = this.#held
    this.#held = []
    if (answer !== undefined) {
      const { position, publications, complete } = answer
      this.#seen = Math.max(this.#seen, position.offset)
      if (!complete) this.#jump({ ...before, offset: (publications[0]?.offset ?? position.offset + 1) - 1 })
      for (const each of publications) this.#offer(each)
    }
    // Where history brought nothing, nothing will: what is ahead is all there is.
    const stuck = this.#tail?.offset === before.offset && !this.#full
    const next = held[0]?.offset ?? this.#seen + 1
    if (stuck && next > before.offset + 1) this.#jump({ ...before, offset: next - 1 })
    for (const each of held) this.#offer(each)
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
    this.#asked = undefined
  }

  #move(epoch: string): void {
    const before = this.#tail
    if (before === undefined || before.epoch === epoch) return
    // The offset stays: the tail may have gone back since it was told, but not on.
    this.#tail = { ...before, epoch }
    this.#listener.moved(before.epoch, epoch)
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
    if (this.#asked !== undefined || this.#full) return
    if (this.#tail === undefined || this.#seen <= this.#tail.offset) return
    this.#asked = { ...this.#tail }
    this.#listener.missing(this.#asked)
  }
}
