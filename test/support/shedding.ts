import { Shedding, type SheddingDeps } from "../../src/gateway/shedding.ts"
import { memoryLog } from "./memory_log.ts"

/** A worker's shedding that tells nobody, and refuses nothing before it is told of bounds. */
export function makeShedding(changes: Partial<SheddingDeps> = {}): Shedding {
  return new Shedding({ log: memoryLog(), onShed: () => undefined, ...changes })
}
