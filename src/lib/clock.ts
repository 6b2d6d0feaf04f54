import { uptime } from "node:os"

/**
 * Milliseconds on one monotonic scale shared by all threads of the machine: `performance.now()` starts at
 * zero in every thread, the machine's uptime does not. Granularity of agreement between threads: 10 ms.
 * Wall-clock jumps do not move it.
 */
const origin = uptime() * 1000 - performance.now()

export type Clock = () => number

export const now: Clock = () => origin + performance.now()
