import type { Outcome } from "./connection.ts"
import type { Position } from "./wire.ts"

/** Sends `ack`. `undefined` as outcome: the connection ended. */
export type SendAck = (offset: number, settle: (outcome: Outcome<"ack">) => void) => void

/** How far the gateway was told. One acknowledgement is under way at a time; meanwhile later ones become one. */
export class Acknowledgement {
  readonly #refused: (outcome: NonNullable<Outcome<"ack">>) => void
  #wanted: Position | undefined
  #send: SendAck | undefined
  #epoch: string | undefined
  #underWay = false

  /** `refused` hears of answers that are errors. */
  constructor(refused: (outcome: NonNullable<Outcome<"ack">>) => void) {
    this.#refused = refused
  }

  /** The offset up to which everything was dealt with; 0 of an epoch nothing was acknowledged of. */
  upTo(epoch: string): number {
    return this.#wanted?.epoch === epoch ? this.#wanted.offset : 0
  }

  /** Subscribed: from now on they are sent, the last one again, as it may not have arrived. */
  attach(epoch: string, send: SendAck): void {
    this.#epoch = epoch
    this.#send = send
    this.#underWay = false
    this.again()
  }

  detach(): void {
    this.#send = undefined
  }

  /** What was dealt with in an epoch that is over is the same in this one. */
  move(from: string, to: string): void {
    if (this.#wanted?.epoch === from) this.#wanted = { ...this.#wanted, epoch: to }
  }

  to(position: Position): void {
    if (position.offset <= this.upTo(position.epoch)) return
    this.#wanted = position
    this.again()
  }

  /** Sends the last one (again), unless one is under way. */
  again(): void {
    const wanted = this.#wanted
    const send = this.#send
    if (this.#underWay || send === undefined || wanted === undefined || wanted.epoch !== this.#epoch) return
    this.#underWay = true
    send(wanted.offset, (outcome) => {
      if (send !== this.#send) return
      this.#underWay = false
      if (outcome !== undefined && "error" in outcome) this.#refused(outcome)
      else if (this.#wanted !== wanted) this.again()
    })
  }
}
