import { uptime } from "node:os"

export type Clock = () => number

/**
 * Milliseconds on one monotonic scale, roughly since the machine started. `performance.now()` starts at zero in every
 * thread, so each adds when that was; threads that have agreed (`agreeOn`) differ by a fraction of a millisecond.
 * Wall-clock jumps do not move it.
 */
export const now: Clock = () => origin + performance.now()

// The runtime tells the uptime in whole seconds: no thread may take its own.
let origin = uptime() * 1000 - performance.now()

/** What one thread's clocks say, for another to set its own by. */
export interface ClockSample {
  /** Wall-clock time at which `now` was zero. */
  readonly zeroAtMs: number
  readonly nowMs: number
  readonly wallMs: number
}

export function sampleClock(): ClockSample {
  return { zeroAtMs: performance.timeOrigin - origin, nowMs: now(), wallMs: Date.now() }
}

/** Beyond this the wall clock has jumped between the starts of the two threads; below, it tells less than they know. */
const JUMP_MS = 5

/** Sets this thread's clock by a sample another thread took a moment ago. Once, before the clock is used. */
export function agreeOn({ zeroAtMs, nowMs, wallMs }: ClockSample): void {
  origin = performance.timeOrigin - zeroAtMs
  const behindMs = nowMs + (Date.now() - wallMs) - now()
  if (Math.abs(behindMs) > JUMP_MS) origin += behindMs
}
