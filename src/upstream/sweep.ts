import { handleReads } from "../http1/round.ts"

/** Something with deadlines. */
export interface Swept {
  /** Acts on what is due. Returns false when nothing is left to wait for. */
  sweep(): boolean
}

/** Milliseconds between two looks, and so the precision of every deadline here. */
export const SWEEP_MS = 25

const swept = new Set<Swept>()
let timer: Timer | undefined

/**
 * Looks after `one` until it says that nothing is left. One timer a thread serves everything: setting and
 * clearing a timer for each request would cost more than the sweep.
 */
export function keepSwept(one: Swept): void {
  swept.add(one)
  if (timer !== undefined) return
  timer = setInterval(sweepAll, SWEEP_MS)
  timer.unref()
}

function sweepAll(): void {
  // What was read in this turn has come in time.
  handleReads()
  for (const one of swept) if (!one.sweep()) swept.delete(one)
  if (swept.size > 0) return
  clearInterval(timer)
  timer = undefined
}
