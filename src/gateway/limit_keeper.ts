import { createLimitMemory, LimitTable } from "../store/limit_table.ts"
import type { LimitMemory } from "./protocol.ts"

/** The memory of all rate limits of the process, which outlives workers and reloads. */
export class LimitKeeper {
  /** For the workers. */
  readonly memory: LimitMemory
  readonly #table: LimitTable

  constructor(maxKeys: number) {
    const [k0 = 0, k1 = 0] = crypto.getRandomValues(new Uint32Array(2))
    this.memory = { table: createLimitMemory(maxKeys), key: [k0, k1] }
    this.#table = new LimitTable(this.memory.table)
  }

  /** How many buckets are not full. */
  keys(nowMs: number): number {
    return this.#table.countKeys(nowMs)
  }
}
