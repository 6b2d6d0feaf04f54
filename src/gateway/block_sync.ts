import type { Clock } from "../lib/clock.ts"
import type { Counts } from "../observe/counts.ts"
import type { ClientState } from "../safety/block.ts"
import { parseClientState, toBlockFields } from "../safety/client_state.ts"
import { SYNC_BLOCKS } from "../store/block_scripts.ts"
import type { Redis } from "../store/redis.ts"
import { MAX_BLOCKS } from "./abuse_keeper.ts"

/** Blocks of this machine; see `AbuseKeeper`. */
export interface SharedBlocks {
  stateOf(client: string): ClientState | undefined
  /** All of whom something is known. */
  clients(): Set<string>
  adopt(states: readonly ClientState[]): void
  /** `changed` is called with clients other machines must be told of. */
  onChange(changed: (client: string) => void): void
}

export interface BlockSyncDeps {
  readonly redis: Pick<Redis, "run" | "prefix" | "connected" | "losses">
  readonly blocks: SharedBlocks
  readonly now: Clock
  readonly after: (ms: number, run: () => void) => () => void
  /** A word nobody else has, should this machine be the first to write to Redis. */
  readonly epoch: string
  /** `unfit`: Redis had something of them no gateway wrote. */
  readonly onSynced: (result: "told" | "heard" | "unfit" | "failed", clients: number) => void
}

/** With the names and counts of a gateway. */
export function createBlockSync(
  redis: BlockSyncDeps["redis"],
  blocks: SharedBlocks,
  { now, after, counts }: Pick<BlockSyncDeps, "now" | "after"> & { readonly counts: Counts },
): BlockSync {
  const onSynced: BlockSyncDeps["onSynced"] = (result, clients) =>
    counts.add("gatehouse_block_sync_total", { result }, clients)
  return new BlockSync({ redis, blocks, now, after, epoch: Bun.randomUUIDv7("base64url"), onSynced })
}

/** Pause between two rounds: no longer than this passes until others are heard. */
const POLL_MS = 500
/** What changes here is told after this, with what else has changed by then. */
const SOON_MS = 20
/** Clients a call tells of and brings back: some 20 µs of Redis for each. */
const MOST_TOLD = 200
const MOST_HEARD = 500
/** Longest wait at start for what others have blocked. */
const LONGEST_START_MS = 1000

/**
 * Shares blocks with other machines by Redis. Each round tells of clients whose state has changed here and brings back
 * those that have changed elsewhere since the last one, in one call. While Redis is away nothing is kept for it: when it
 * is back, and when it has lost what it knew, each machine tells all it knows and hears all, and the states merge.
 */
export class BlockSync {
  readonly #deps: BlockSyncDeps
  readonly #keys: readonly string[]
  /** Clients to tell of; those of `AbuseKeeper` at most. */
  #pending = new Set<string>()
  /** Everything is to be told. */
  #all = true
  /** Connections lost when everything was told last. */
  #losses = 0
  /** How far the others were heard: the number of a change, of the memory that Redis has had since it was empty. */
  #epoch = ""
  #cursor = "0"
  #running = false
  #closed = false
  #stop = (): void => {}

  constructor(deps: BlockSyncDeps) {
    this.#deps = deps
    // One tag, so that a Cluster keeps them in one place.
    this.#keys = ["states", "changes", "ends"].map((name) => `{${deps.redis.prefix}:blocks}:${name}`)
    deps.blocks.onChange((client) => this.#changed(client))
  }

  /** Resolves when all that others have blocked is known, or after a second. Rounds go on until `close`. */
  async start(): Promise<void> {
    const late = Promise.withResolvers<void>()
    const cancel = this.#deps.after(LONGEST_START_MS, late.resolve)
    await Promise.race([this.#round(), late.promise])
    cancel()
  }

  close(): void {
    this.#closed = true
    this.#stop()
  }

  /** One call. `true`: there is more to tell or to hear at once. Never rejects; not to be called while one runs. */
  async sync(): Promise<boolean> {
    const { redis, blocks, now, epoch, onSynced } = this.#deps
    if (!redis.connected) {
      this.#forget()
      return false
    }
    if (this.#all || redis.losses !== this.#losses) {
      this.#all = false
      this.#losses = redis.losses
      this.#pending = blocks.clients()
      this.#cursor = "0"
    }
    const states = this.#take()
    const askedAt = now()
    const fields = states.flatMap((state) => toBlockFields(state, askedAt))
    const head = [epoch, this.#epoch, this.#cursor, MAX_BLOCKS, MOST_HEARD]
    let answer: unknown
    try {
      answer = await redis.run(SYNC_BLOCKS, this.#keys, [...head, ...fields])
    } catch {
      // The connection has told why.
      this.#forget()
      onSynced("failed", states.length)
      return false
    }
    onSynced("told", states.length)
    return this.#hear(answer as unknown[], now()) || this.#pending.size > 0
  }

  #changed(client: string): void {
    this.#pending.add(client)
    if (this.#running || this.#closed) return
    this.#stop()
    this.#stop = this.#deps.after(SOON_MS, () => void this.#round())
  }

  /** Calls as long as there is more; the next round comes by itself. */
  async #round(): Promise<void> {
    this.#running = true
    while (!this.#closed && (await this.sync()));
    this.#running = false
    if (!this.#closed) this.#stop = this.#deps.after(POLL_MS, () => void this.#round())
  }

  /** Nothing is kept for later: then everything is told. */
  #forget(): void {
    this.#all = true
    this.#pending.clear()
  }

  #take(): ClientState[] {
    const states: ClientState[] = []
    for (const client of this.#pending) {
      if (states.length >= MOST_TOLD) break
      this.#pending.delete(client)
      const state = this.#deps.blocks.stateOf(client)
      if (state !== undefined) states.push(state)
    }
    return states
  }

  #hear([epoch, cursor, more, ...rest]: readonly unknown[], at: number): boolean {
    // It has lost what was told before.
    if (this.#epoch !== "" && epoch !== this.#epoch) this.#all = true
    this.#epoch = String(epoch)
    const heard: ClientState[] = []
    let [unfit, later] = [0, 0]
    for (let i = 0; i < rest.length; i += 2) {
      const state = parseClientState(rest[i], rest[i + 1], at)
      if (state === undefined) unfit++
      // It has changed here meanwhile: that is told first, and what comes of it heard then.
      else if (this.#pending.has(state.client)) later++
      else heard.push(state)
    }
    if (later === 0) this.#cursor = String(cursor)
    this.#deps.blocks.adopt(heard)
    this.#deps.onSynced("heard", heard.length)
    this.#deps.onSynced("unfit", unfit)
    return more === 1 || this.#all
  }
}
