import { readFileSync } from "node:fs"
import { rssMb } from "./process.ts"

const MAX_OPEN = Number(/^Max open files +\d+ +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1])
/** Descriptors of a process besides its connections. */
const OTHER = 200
const SETTLE_STEP_MS = 500
const SETTLE_STEPS = 20
/** Resident memory that changes by less in a step is settled. */
const SETTLED_MB = 0.5

/** Connections to hold open: `BENCH_IDLE` (10,000), or as many as a process may that takes `each` descriptors for one. */
export function mostConnections(each: number): number {
  const wanted = Number(process.env.BENCH_IDLE ?? 10_000)
  const possible = Math.floor((MAX_OPEN - OTHER) / each / 100) * 100
  if (possible < wanted) console.log(`only ${possible} of ${wanted}: a process may open ${MAX_OPEN} files`)
  return Math.min(wanted, possible)
}

/** Resident memory once it has stopped changing; what it is after 10 s if it has not. */
export async function settledRssMb(pid: number): Promise<number> {
  let last = rssMb([pid])
  for (let step = 0; step < SETTLE_STEPS; step++) {
    await Bun.sleep(SETTLE_STEP_MS)
    const now = rssMb([pid])
    if (Math.abs(now - last) < SETTLED_MB && step > 2) return now
    last = now
  }
  return last
}

export function percentiles(times: readonly number[]): { p50: number; p99: number } {
  const sorted = times.toSorted((a, b) => a - b)
  return { p50: sorted[sorted.length >> 1]!, p99: sorted[Math.floor(sorted.length * 0.99)]! }
}
