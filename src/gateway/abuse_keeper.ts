import type { Config } from "../config/schema.ts"
import type { AuditRecord } from "../identity/context.ts"
import { AddressList } from "../lib/address_list.ts"
import type { Clock } from "../lib/clock.ts"
import { VIOLATIONS, type Violation } from "../observe/catalogue.ts"
import type { GaugeRow } from "../observe/exposition.ts"
import { LineBudget } from "../observe/line_budget.ts"
import type { Log } from "../observe/log.ts"
import {
  type Block,
  type BlockChange,
  type BlockEntry,
  type BlockReason,
  type ClientState,
  entryOf,
} from "../safety/block.ts"
import { blockEvent } from "../safety/block_event.ts"
import { BlockList, type EndReason } from "../safety/block_list.ts"
import type { AlertEvent } from "../store/events.ts"
import { exemptFrom } from "./client_guard.ts"
import { LimitKeeper } from "./limit_keeper.ts"
import type { LimitMemory } from "./protocol.ts"
import type { After } from "./supervisor.ts"

export interface AbuseKeeperOptions {
  readonly now: Clock
  readonly after: After
  readonly log: Log
  /** A word no other machine or run has. */
  readonly origin: string
  /** Puts on record what was done. Never rejects. */
  readonly record: (record: AuditRecord, event: AlertEvent) => Promise<void>
  /** Tells all workers. */
  readonly tell: (change: BlockChange) => void
}

/** Most clients blocked at a time, and most whose earlier blocks are remembered. */
export const MAX_BLOCKS = 100_000
/** Clients with a score or a request rate at a time: two buckets each, 8 MB when all are in use. */
const MAX_SCORES = 250_000
const SWEEP_MS = 1000
/** Records on their way to the store; beyond, a block is told in the log only. */
const MAX_RECORDS = 1000

/** Blocking as the control plane does it: it decides for how long, keeps the list and tells the workers. */
export class AbuseKeeper {
  readonly #options: AbuseKeeperOptions
  /**
   * Made when a configuration first has the section, and kept: so much shared memory makes every thread that gets it
   * collect garbage.
   */
  #scores: LimitKeeper | undefined
  readonly #list: BlockList
  readonly #counts = new Map<BlockReason, number>(
    [...VIOLATIONS, "operator" as const].map((each) => [each, 0]),
  )
  readonly #blockedLines: LineBudget
  readonly #sharedLines: LineBudget
  readonly #endedLines: LineBudget
  #config: Config["abuse"]
  #exempt = new AddressList([])
  #ended: string[] = []
  #recording = 0
  #cancelSweep: (() => void) | undefined
  #closed = false
  #changed: (client: string) => void = () => {}

  constructor(options: AbuseKeeperOptions) {
    this.#options = options
    this.#blockedLines = new LineBudget(options.now)
    this.#sharedLines = new LineBudget(options.now)
    this.#endedLines = new LineBudget(options.now)
    this.#list = new BlockList({
      now: options.now,
      origin: options.origin,
      max: MAX_BLOCKS,
      onEnd: (block, why) => this.#over(block, why),
    })
  }

  /** Scores of all workers; `undefined`: no configuration has had the section so far. */
  get memory(): LimitMemory | undefined {
    return this.#scores?.memory
  }

  /** What a new worker must know. */
  state(): readonly BlockEntry[] {
    return Array.from(this.#list.all(), entryOf)
  }

  /** Takes a configuration. Who is exempt from now on is let in; without the section all are but those blocked by hand. */
  apply(config: Pick<Config, "abuse" | "server">): void {
    this.#config = config.abuse
    if (config.abuse !== undefined) this.#scores ??= new LimitKeeper(MAX_SCORES)
    this.#exempt = exemptFrom(config)
    for (const { client, reason } of [...this.#list.all()])
      if (this.isExempt(client) || (config.abuse === undefined && reason !== "operator"))
        this.#list.release(client)
    this.#tellEnded()
  }

  /** A worker has found a client's score too high. */
  offended(client: string, violation: Violation): void {
    if (this.#config === undefined || this.isExempt(client)) return
    const { first, factor, max, forgive_after } = this.#config.block
    const rules = { firstMs: first, factor, maxMs: max, forgiveMs: forgive_after }
    const block = this.#list.offended(client, violation, rules)
    if (block === undefined) return
    this.#began(block)
    this.#changed(client)
    if (this.#recording >= MAX_RECORDS) return
    this.#recording++
    const { times, untilMs, startedAtMs } = block
    const details = {
      reason: violation,
      duration_s: (untilMs - startedAtMs) / 1000,
      times,
      mode: this.#config.mode,
    }
    const told = { action: "client.block", outcome: "success", actor: "gateway", subject: client } as const
    const record = { ...told, client: "", requestId: "", details }
    void this.#options.record(record, blockEvent(block, this.#config.mode)).finally(() => {
      this.#recording--
    })
  }

  /** Blocks a client by hand; see `BlockList.block`. `client`: as lib/client_network.ts writes it. */
  block(client: string, lastsMs: number, note: string): Block {
    const block = this.#list.block(client, lastsMs, note)
    this.#began(block)
    this.#changed(client)
    return block
  }

  /** Ends a block. `false`: there is none. */
  unblock(client: string): boolean {
    const lifted = this.#list.lift(client) !== undefined
    this.#tellEnded()
    if (lifted) this.#changed(client)
    return lifted
  }

  /** All blocks, the oldest first. */
  blocks(): Iterable<Block> {
    this.#list.sweep()
    this.#tellEnded()
    return this.#list.all()
  }

  onChange(changed: (client: string) => void): void {
    this.#changed = changed
  }

  /** What other machines should know of a client; `undefined`: nothing. */
  stateOf(client: string): ClientState | undefined {
    return this.#list.stateOf(client)
  }

  /** All of whom something is known. */
  clients(): Set<string> {
    return this.#list.clients()
  }

  /** Takes in what is known on all machines, as far as the config here has it. It was recorded where it was decided. */
  adopt(states: readonly ClientState[]): void {
    const blocked = states.flatMap((state) => this.#list.adopt(this.#fitting(state)) ?? [])
    for (const { client, reason, times, untilMs } of blocked) {
      const room = this.#sharedLines.take()
      const duration_s = Math.ceil((untilMs - this.#options.now()) / 1000)
      if (room !== undefined)
        this.#options.log.info("client.block_shared", { client, reason, times, duration_s, ...room })
    }
    if (blocked.length > 0) this.#scheduleSweep()
    const ended = this.#ended
    this.#ended = []
    if (blocked.length + ended.length > 0) this.#options.tell({ blocked: blocked.map(entryOf), ended })
  }

  /** Without a block that must not hold here; none that was not set by hand lasts longer than the config has it. */
  #fitting(state: ClientState): ClientState {
    const { client, block } = state
    if (block === undefined) return state
    const isByHand = block.reason === "operator"
    if (this.isExempt(client) || (this.#config === undefined && !isByHand))
      return { ...state, block: undefined }
    if (isByHand) return state
    const longest = this.#options.now() + this.#config!.block.max
    return { ...state, block: { ...block, untilMs: Math.min(block.untilMs, longest) } }
  }

  /** Whether an address, or a client by the first of its addresses, is allowed by config or a trusted proxy. */
  isExempt(address: string): boolean {
    return this.#exempt.has(address.replace(/\/64$/, ""))
  }

  *rows(): Generator<GaugeRow> {
    yield { metric: "gatehouse_blocked_clients", labels: {}, value: this.#list.size }
    for (const [reason, value] of this.#counts)
      yield { metric: "gatehouse_blocks_total", labels: { reason }, value }
  }

  close(): void {
    this.#closed = true
    this.#cancelSweep?.()
  }

  #began(block: Block): void {
    const { log, tell } = this.#options
    const { client, reason, note, times, startedAtMs, untilMs } = block
    this.#counts.set(reason, this.#counts.get(reason)! + 1)
    tell({ blocked: [entryOf(block)], ended: this.#ended })
    this.#ended = []
    const room = this.#blockedLines.take()
    if (room !== undefined) {
      log.warn("client.blocked", {
        client,
        reason,
        ...(reason === "operator" ? { note } : { times, mode: this.#config?.mode }),
        duration_s: (untilMs - startedAtMs) / 1000,
        ...room,
      })
    }
    this.#scheduleSweep()
  }

  #over({ client }: Block, why: EndReason): void {
    this.#ended.push(client)
    const room = this.#endedLines.take()
    if (room !== undefined) this.#options.log.info("client.unblocked", { client, why, ...room })
  }

  #tellEnded(): void {
    if (this.#ended.length === 0) return
    this.#options.tell({ blocked: [], ended: this.#ended })
    this.#ended = []
  }

  // Only while there is something to end.
  #scheduleSweep(): void {
    if (this.#cancelSweep !== undefined || this.#closed) return
    this.#cancelSweep = this.#options.after(SWEEP_MS, () => {
      this.#cancelSweep = undefined
      this.#list.sweep()
      this.#tellEnded()
      if (this.#list.size > 0) this.#scheduleSweep()
    })
  }
}
