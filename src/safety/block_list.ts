import { BoundedMap } from "../lib/bounded_map.ts"
import type { Clock } from "../lib/clock.ts"
import { Deadlines } from "../lib/deadlines.ts"
import type { Violation } from "../observe/catalogue.ts"
import type { Block, BlockLevel, BlockLift, BlockReason, ClientState } from "./block.ts"

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
  /** A word no other machine or run has: names of blocks begin with it. */
  readonly origin: string
  /** Most blocks at a time, and most clients whose earlier blocks are remembered. */
  readonly max: number
  readonly onEnd: (block: Block, why: EndReason) => void
}

/** Ends by operators that are remembered at a time; beyond, the oldest are forgotten. */
const MAX_LIFTS = 10_000
/** An end is remembered so long, or as long as what it ended would have lasted. */
const LIFT_KEPT_MS = 86_400_000
/** A block of the same kind that ends later by less is the same to clients. */
const NO_MATTER_MS = 1000

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
  readonly #history: BoundedMap<BlockLevel>
  readonly #lifts = new BoundedMap<BlockLift>(MAX_LIFTS)
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
    this.#history.set(client, { atMs: now, times, forgottenAtMs: now + lastsMs + rules.forgiveMs })
    return this.#begin(client, reason, "", times, lastsMs)
  }

  /** Blocks a client because an operator says so; another block of it is replaced. */
  block(client: string, lastsMs: number, note: string): Block {
    const standing = this.#blocks.get(client)
    if (standing !== undefined) this.#noteLift(standing, standing.startedAtMs)
    return this.#begin(client, "operator", note, 0, lastsMs)
  }

  /** Ends a block and forgives earlier ones. `undefined`: there is none. */
  lift(client: string): Block | undefined {
    const block = this.#blocks.get(client)
    if (block === undefined) return undefined
    const now = this.#options.now()
    this.#noteLift(block, now)
    this.#history.set(client, { atMs: now, times: 0, forgottenAtMs: now })
    this.#end(block, "lifted")
    return block
  }

  /** The same on this machine alone. */
  release(client: string): void {
    const block = this.#blocks.get(client)
    this.#history.delete(client)
    if (block !== undefined) this.#end(block, "lifted")
  }

  /** What other machines should know of a client; `undefined`: nothing. */
  stateOf(client: string): ClientState | undefined {
    const now = this.#options.now()
    const standing = this.#blocks.get(client)
    const block = standing !== undefined && standing.untilMs > now ? standing : undefined
    const lift = this.#lifts.get(client)
    const level = this.#history.get(client)
    const state: ClientState = {
      client,
      block,
      lift: lift !== undefined && lift.keptUntilMs > now ? lift : undefined,
      // That it was forgiven is told with the lift.
      level: level !== undefined && (level.forgottenAtMs > now || lift !== undefined) ? level : undefined,
    }
    return (state.block ?? state.lift ?? state.level) ? state : undefined
  }

  /** All clients of whom something is known. */
  clients(): Set<string> {
    return new Set([...this.#blocks.keys(), ...this.#history.keys(), ...this.#lifts.keys()])
  }

  /**
   * Takes in what is known of a client on all machines, where everything known here was told: who is blocked by it is
   * returned. Of two blocks one by hand counts, else the one that ends later.
   */
  adopt({ client, lift, block, level }: ClientState): Block | undefined {
    const standing = this.#blocks.get(client)
    const isOver =
      standing !== undefined &&
      lift !== undefined &&
      (standing.uid === lift.uid || standing.startedAtMs <= lift.atMs)
    if (isOver) this.#end(standing, "lifted")
    if (lift !== undefined) this.#lifts.set(client, lift)
    if (level !== undefined) this.#adoptLevel(client, level)
    if (block === undefined || (standing !== undefined && !isOver && !supersedes(block, standing)))
      return undefined
    return this.#keep({ ...block, id: ++this.#lastId })
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

  #adoptLevel(client: string, level: BlockLevel): void {
    const known = this.#history.get(client)
    const isNewer =
      known === undefined || known.forgottenAtMs <= this.#options.now() || level.times === 0
        ? known === undefined || level.atMs > known.atMs
        : level.times > known.times || level.forgottenAtMs > known.forgottenAtMs + NO_MATTER_MS
    if (isNewer) this.#history.set(client, level)
  }

  #noteLift({ client, uid, untilMs }: Block, atMs: number): void {
    const keptUntilMs = Math.max(untilMs, this.#options.now() + LIFT_KEPT_MS)
    this.#lifts.set(client, { uid, atMs, keptUntilMs })
  }

  #begin(client: string, reason: BlockReason, note: string, times: number, lastsMs: number): Block {
    const startedAtMs = this.#options.now()
    const id = ++this.#lastId
    const uid = `${this.#options.origin}.${id}`
    return this.#keep({ id, uid, client, reason, note, times, startedAtMs, untilMs: startedAtMs + lastsMs })
  }

  #keep(block: Block): Block {
    const { client, untilMs } = block
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

function supersedes(block: Omit<Block, "id">, standing: Block): boolean {
  if (block.uid === standing.uid) return false
  const isByHand = block.reason === "operator"
  if (isByHand !== (standing.reason === "operator")) return isByHand
  return block.untilMs > standing.untilMs + NO_MATTER_MS
}
