import type { Clock } from "../lib/clock.ts"
import type { ControlQuestion, ControlReplies, ControlReply } from "./control_question.ts"

/** Questions of one worker under way at a time; beyond, the answer is `undefined` at once. */
const MAX_UNDER_WAY = 512
/** The same where the question is of a safety event: no other may keep it out. */
const MAX_WITH_SAFETY = 2048
/** Longest wait for an answer, in ms. Answers may take a password hash, or another server's reply. */
const PATIENCE_MS = 15_000

interface Waiting {
  readonly since: number
  readonly resolve: (reply: ControlReply | undefined) => void
}

/** What a worker asks the control plane: each question has a number, and its answer comes back under it. */
export class Questions {
  readonly #post: (id: number, question: ControlQuestion) => void
  readonly #now: Clock
  /** In the order of asking, so the oldest come first. */
  readonly #waiting = new Map<number, Waiting>()
  #last = 0

  constructor(post: (id: number, question: ControlQuestion) => void, now: Clock) {
    this.#post = post
    this.#now = now
  }

  /** Never rejects. `undefined`: the control plane is too busy, too slow, or has no answer. */
  ask<Q extends ControlQuestion>(question: Q): Promise<ControlReplies[Q["kind"]] | undefined> {
    const max = question.kind === "safety" ? MAX_WITH_SAFETY : MAX_UNDER_WAY
    if (this.#waiting.size >= max) return Promise.resolve(undefined)
    const id = ++this.#last
    const { promise, resolve } = Promise.withResolvers<ControlReply | undefined>()
    this.#waiting.set(id, { since: this.#now(), resolve })
    this.#post(id, question)
    return promise as Promise<ControlReplies[Q["kind"]] | undefined>
  }

  /** The control plane has answered. A late answer is ignored. */
  told(id: number, reply: ControlReply | undefined): void {
    this.#waiting.get(id)?.resolve(reply)
    this.#waiting.delete(id)
  }

  /** Gives up on what has waited too long. Call about once a second. */
  sweep(): void {
    const tooOld = this.#now() - PATIENCE_MS
    for (const [id, { since }] of this.#waiting) {
      if (since > tooOld) return
      this.told(id, undefined)
    }
  }

  /** Gives up on everything: the worker closes. */
  close(): void {
    for (const id of this.#waiting.keys()) this.told(id, undefined)
  }
}
