import type { HashKey } from "../lib/keyed_hash.ts"
import { createSpendingMemory, Spending } from "../store/limit_spending.ts"
import { createLimitMemory, LimitTable, slotsOf } from "../store/limit_table.ts"
import type { LimitMemory } from "./protocol.ts"

/** The memory of all rate limits of the process, which outlives workers and reloads. */
export class LimitKeeper {
  readonly table: LimitTable
  /** What other machines are to know; `undefined`: there are none. */
  readonly spending: Spending | undefined
  #memory: LimitMemory
  #onKey: (key: HashKey) => void = () => {}

  /** `shared`: other machines limit by the same buckets. */
  constructor(maxKeys: number, shared = false) {
    const [k0 = 0, k1 = 0] = crypto.getRandomValues(new Uint32Array(2))
    const table = createLimitMemory(maxKeys)
    const slots = slotsOf(table)
    const spending = shared ? createSpendingMemory(slots) : undefined
    this.#memory = { table, spending, key: [k0, k1] }
    this.spending = spending && new Spending(spending, slots)
    this.table = new LimitTable(table)
  }

  /** For the workers. */
  get memory(): LimitMemory {
    return this.#memory
  }

  /** `tell` is called with the key callers are hashed by from now on. */
  onKey(tell: (key: HashKey) => void): void {
    this.#onKey = tell
  }

  /** Takes the key of the other machines. All callers begin with a full bucket: nobody is known by the new one. */
  adopt(key: HashKey): void {
    this.#memory = { ...this.#memory, key }
    this.#onKey(key)
  }

  /** How many buckets are not full. */
  keys(nowMs: number): number {
    return this.table.countKeys(nowMs)
  }
}
