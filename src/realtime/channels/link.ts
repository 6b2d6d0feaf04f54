import type { ChannelAnswer, ChannelQuestion, HubAnswers, HubCommand } from "./hub_messages.ts"

type AnswerTo<C extends HubCommand> = HubAnswers[C["do"]]

interface Waiting {
  readonly command: HubCommand
  readonly answered: (value: HubAnswers[HubCommand["do"]] | Unavailable) => void
}

/** The hub, or the store behind it, has no answer just now. */
export const UNAVAILABLE = Symbol("unavailable")
export type Unavailable = typeof UNAVAILABLE

/** Commands under way at a time; beyond, there is no answer. */
const MAX_UNDER_WAY = 20_000
/** Commands in one question. */
const MAX_TOGETHER = 1000

/** A worker's way to the hub: what is asked in one turn of the event loop goes as one question, in order; acknowledgements as another. */
export class Link {
  readonly #worker: number
  readonly #ask: (question: ChannelQuestion) => Promise<ChannelAnswer | undefined>
  #queue: Waiting[] = []
  /** Ends of connections the hub has not heard of: it would count them for ever. */
  #owed: HubCommand[] = []
  #underWay = 0

  constructor(worker: number, ask: (question: ChannelQuestion) => Promise<ChannelAnswer | undefined>) {
    this.#worker = worker
    this.#ask = ask
  }

  /** Never rejects. */
  ask<C extends HubCommand>(command: C): Promise<AnswerTo<C> | Unavailable> {
    if (this.#underWay >= MAX_UNDER_WAY) {
      this.#owe(command)
      return Promise.resolve(UNAVAILABLE)
    }
    this.#underWay++
    const { promise, resolve } = Promise.withResolvers<HubAnswers[HubCommand["do"]] | Unavailable>()
    this.#queue.push({ command, answered: resolve })
    if (this.#queue.length === 1) setImmediate(() => this.#flush())
    return promise as Promise<AnswerTo<C> | Unavailable>
  }

  /** Says again what must not be lost. Call about once a second. */
  tick(): void {
    for (const command of this.#owed.splice(0)) void this.ask(command)
  }

  #owe(command: HubCommand): void {
    if (command.do === "close") this.#owed.push(command)
  }

  #flush(): void {
    // A question is answered as one: what is quick must not wait for acknowledgements, which are written together.
    const acks = this.#queue.filter(({ command }) => command.do === "ack")
    const others = this.#queue.filter(({ command }) => command.do !== "ack")
    this.#queue = []
    this.#sendAll(acks)
    this.#sendAll(others)
  }

  #sendAll(queue: readonly Waiting[]): void {
    for (let i = 0; i < queue.length; i += MAX_TOGETHER) void this.#send(queue.slice(i, i + MAX_TOGETHER))
  }

  async #send(together: readonly Waiting[]): Promise<void> {
    const commands = together.map(({ command }) => command)
    const answer = await this.#ask({ kind: "channels", worker: this.#worker, commands })
    this.#underWay -= together.length
    for (let i = 0; i < together.length; i++) {
      const one = answer?.answers[i]
      if (answer === undefined) this.#owe(commands[i]!)
      together[i]!.answered(one?.ok === true ? one.value : UNAVAILABLE)
    }
  }
}
