import { BoundedMap } from "../lib/bounded_map.ts"
import type { Clock } from "../lib/clock.ts"
import { Deadlines } from "../lib/deadlines.ts"
import type { Violation } from "../observe/catalogue.ts"
import type { Block, BlockReason } from "./block.ts"

/** How blocks grow. */
export interface BlockRules {
  readonly firstMs: number
  readonly factor: number
  readonly maxMs: number
  /** From the end of a block on; then the client starts anew. */
  readonly forgiveMs: number
}

/** Why a block is over: its time has passed, somebody lifted it, or others needed its place. */
export type EndReason = "time" | "lifted" | "room"

export interface BlockListOptions {
  readonly now: Clock
  /** Most blocks at a time, and most clients whose earlier blocks are remembered. */
  readonly max: number
  readonly onEnd: (block: Block, why: EndReason) => void
}

/**
 * Who is blocked, and who was. At most `max` at a time: at the cap the block that would end first goes. Of earlier
 * blocks the latest `max` are remembered. Time is asked, never waited for: `sweep` ends what is over.
 */
export class BlockList {
  readonly #options: BlockListOptions
  /** In the order of their ids. */
  readonly #blocks = new Map<string, Block>()
  /** By their ends. Of blocks that were lifted or replaced too: those are passed over. */
  readonly #ends = new Deadlines<Block>()
  readonly #history: BoundedMap<{ readonly times: number; readonly forgottenAtMs: number }>
  #lastId = 0

  constructor(options: BlockListOptions) {
    this.#options = options
    this.#history = new BoundedMap(options.max)
  }

  get size(): number {
    return this.#blocks.size
  }

  get(client: string): Block | undefined {
    return this.#blocks.get(client)
  }

  /** All, the oldest first. */
  all(): Iterable<Block> {
    return this.#blocks.values()
  }

  /** Blocks a client whose score was too high, for longer than the last time. `undefined`: it is blocked already. */
  offended(client: string, reason: Violation, rules: BlockRules): Block | undefined {
    const now = this.#options.now()
    const standing = this.#blocks.get(client)
    if (standing !== undefined && standing.untilMs > now) return undefined
    const earlier = this.#history.get(client)
    const times = earlier === undefined || earlier.forgottenAtMs <= now ? 1 : earlier.times + 1
    const lastsMs = Math.min(rules.maxMs, rules.firstMs * rules.factor ** (times - 1))
    this.#history.set(client, { times, forgottenAtMs: now + lastsMs + rules.forgiveMs })
    return this.#keep(client, reason, "", times, lastsMs)
  }

  /** Blocks a client because an operator says so; another block of it is replaced. */
  block(client: string, lastsMs: number, note: string): Block {
    return this.#keep(client, "operator", note, 0, lastsMs)
  }

  /** Ends a block and forgives earlier ones. `undefined`: there is none. */
  lift(client: string): Block | undefined {
    const block = this.#blocks.get(client)
    if (block === undefined) return undefined
    this.#history.delete(client)
    this.#end(block, "lifted")
    return block
  }

  /** Ends what is over. */
  sweep(): void {
    const now = this.#options.now()
    for (;;) {
      const block = this.#ends.next(now)
      if (block === undefined) return
      if (this.#stands(block)) this.#end(block, "time")
    }
  }

  #keep(client: string, reason: BlockReason, note: string, times: number, lastsMs: number): Block {
    const startedAtMs = this.#options.now()
    const untilMs = startedAtMs + lastsMs
    const block: Block = { id: ++this.#lastId, client, reason, note, times, startedAtMs, untilMs }
    // Taken out first: a map keeps the place of a key that is set again.
    this.#blocks.delete(client)
    if (this.#blocks.size >= this.#options.max) this.#makeRoom()
    this.#blocks.set(client, block)
    if (this.#ends.size > 2 * this.#blocks.size + 1000) this.#rebuild()
    else this.#ends.add(untilMs, block)
    return block
  }

  #makeRoom(): void {
    for (;;) {
      const block = this.#ends.next(Number.POSITIVE_INFINITY)
      if (block === undefined) return
      if (!this.#stands(block)) continue
      this.#end(block, "room")
      return
    }
  }

  #rebuild(): void {
    this.#ends.clear()
    for (const block of this.#blocks.values()) this.#ends.add(block.untilMs, block)
  }

  #stands(block: Block): boolean {
    return this.#blocks.get(block.client) === block
  }

  #end(block: Block, why: EndReason): void {
    this.#blocks.delete(block.client)
    this.#options.onEnd(block, why)
  }
}
