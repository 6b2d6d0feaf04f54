import { Chain, type Link } from "../lib/chain.ts"
import type { Clock } from "../lib/clock.ts"
import { PRIORITIES, type Priority } from "../observe/priority.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { type Failure, fail } from "./failure.ts"
import type { Limit, Place } from "./limit.ts"
import { refuseFor } from "./limit_refusal.ts"
import type { Limits } from "./limits.ts"

/** Nobody hears it: the client has left. */
const LEFT = fail("RATE_LIMITED", { cause: "the client left while it waited for its turn" })

/** A chain a class of priority, the most important first. */
type Classes = readonly Chain<Waiter>[]
const createClasses = (): Classes => PRIORITIES.map(() => new Chain<Waiter>())

/** Those who wait for turns of the same buckets at the same cost: any of them may have any of the turns. */
interface Line {
  readonly id: string
  readonly waiting: Classes
  /** What takes back the timer of each turn, in the order of time: as many as there are waiters. */
  readonly turns: Chain<() => void>
}

interface Waiter {
  readonly exchange: Exchange
  readonly line: Line
  /** Where it stands: in the line, and among all who wait for a limit. */
  readonly links: readonly (readonly [chain: Chain<Waiter>, link: Link<Waiter>])[]
  /** What it has taken, of all limits of the request. */
  readonly places: readonly Place[]
  /** Ends the wait at the latest. */
  readonly forget: () => void
  readonly resolve: (verdict: Failure | undefined) => void
}

/**
 * Who waits for the limits of a route, in this worker. A request that waits has taken its tokens already: that gives
 * it a turn, a moment when they will be there, and the turns of all workers follow each other at the rate. Whose turn
 * it is gets decided when it comes: it is that of the most important class, and in a class of who came first. So who
 * is overtaken may wait longer than it seemed, but never beyond `queue.timeout`: then it is refused.
 *
 * Who leaves or is refused gives the last turn of the line back, and those behind move up. When there is no room for
 * one more, the last one of the least important class gives way to a more important one. Requests of unlike cost, or
 * that wait for unlike buckets, are in lines of their own and do not overtake each other.
 */
export class LimitQueue {
  readonly #lines = new Map<string, Line>()
  readonly #byLimit: ReadonlyMap<Limit, Classes>
  readonly #limits: Pick<Limits, "after" | "log">
  readonly #now: Clock

  constructor(limits: readonly Limit[], { after, log }: Pick<Limits, "after" | "log">, now: Clock) {
    this.#byLimit = new Map(limits.map((limit) => [limit, createClasses()]))
    this.#limits = { after, log }
    this.#now = now
  }

  /**
   * Waits until it is the request's turn; `asked`: its limits, which have taken what it costs. `undefined`: it may go
   * on; otherwise it had to give way, or its client has left.
   */
  wait(exchange: Exchange, asked: readonly Limit[], waitMs: number): Promise<Failure | undefined> {
    const { promise, resolve } = Promise.withResolvers<Failure | undefined>()
    const queued = asked.filter((limit) => limit.waitMs > 0)
    const line = this.#lineOf(queued.map((limit) => limit.placeText).join(" "))
    const timeoutMs = Math.min(...queued.map((limit) => limit.queueMs))
    const links: [Chain<Waiter>, Link<Waiter>][] = []
    const waiter: Waiter = {
      exchange,
      line,
      links,
      places: asked.map((limit) => limit.place()),
      // The last turn there is may come a moment later than the timeout, by rounding.
      forget: this.#limits.after(Math.max(timeoutMs, waitMs) + 1, () => this.#giveWay(waiter)),
      resolve,
    }
    for (const classes of [line.waiting, ...queued.map((limit) => this.#byLimit.get(limit)!)]) {
      const chain = classes[exchange.priority]!
      links.push([chain, chain.append(waiter)])
    }
    for (const { limit, waits } of waiter.places) if (waits) limit.waiting++
    line.turns.append(this.#limits.after(waitMs, () => this.#turn(line)))
    exchange.pending = {
      cancel: () => {
        this.#giveBack(waiter)
        this.#leave(waiter, LEFT)
      },
    }
    exchange.arrival.watch?.()
    return promise
  }

  /** Whether somebody less important would give way for the request this limit was asked about last, and refuses. */
  hasRoom(limit: Limit, priority: Priority): boolean {
    return this.#giver(limit, priority) !== undefined
  }

  /** Lets somebody less important give way. `false`: there is nobody. */
  makeRoom(limit: Limit, priority: Priority): boolean {
    const giver = this.#giver(limit, priority)
    if (giver === undefined) return false
    this.#giveWay(giver)
    return true
  }

  #giver(limit: Limit, priority: Priority): Waiter | undefined {
    // Is it the number of those who wait, anybody's place would do; is it time, only a turn of the same bucket.
    const classes = limit.inTime ? this.#byLimit.get(limit) : this.#lines.get(limit.placeText)?.waiting
    if (classes === undefined) return undefined
    for (let at = PRIORITIES.length - 1; at > priority; at--) {
      const last = classes[at]!.last
      if (last !== undefined) return last
    }
    return undefined
  }

  #lineOf(id: string): Line {
    const known = this.#lines.get(id)
    if (known !== undefined) return known
    const line: Line = { id, waiting: createClasses(), turns: new Chain() }
    this.#lines.set(id, line)
    return line
  }

  /** A turn has come: the first of the most important goes on. */
  #turn(line: Line): void {
    line.turns.shift()
    const next = line.waiting.find((chain) => chain.first !== undefined)?.first
    if (next !== undefined) this.#leave(next, undefined)
  }

  #giveWay(waiter: Waiter): void {
    const nowMs = this.#now()
    let refusing = waiter.places.find(({ waits }) => waits)!
    for (const place of waiter.places)
      if (place.waits && place.retryAfterMs(nowMs) > refusing.retryAfterMs(nowMs)) refusing = place
    const retryAfterMs = refusing.retryAfterMs(nowMs)
    this.#giveBack(waiter)
    this.#leave(waiter, refuseFor(refusing.limit, retryAfterMs, waiter.exchange, this.#limits.log))
  }

  /** What it has taken, and the last turn of its line with it. */
  #giveBack({ line, places }: Waiter): void {
    line.turns.pop()?.()
    for (const place of places) place.giveBack()
  }

  #leave({ exchange, line, links, places, forget, resolve }: Waiter, verdict: Failure | undefined): void {
    forget()
    for (const [chain, link] of links) chain.remove(link)
    for (const { limit, waits } of places) if (waits) limit.waiting--
    if (line.turns.first === undefined) this.#lines.delete(line.id)
    exchange.pending = undefined
    resolve(verdict)
  }
}

/** How long a request must wait for what its limits have taken in advance, in ms; 0: it need not. */
export function waitOf(limits: readonly Limit[]): number {
  let longest = 0
  for (let i = 0; i < limits.length; i++) longest = Math.max(longest, limits[i]!.waitMs)
  return longest
}
