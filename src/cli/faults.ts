import type { FaultKind } from "../observe/fault_log.ts"

/**
 * Takes over what no handler of this thread caught; without it the runtime would end the thread, and with it
 * every request in flight. What such a bug leaves behind is one task that stopped halfway: its request meets
 * its deadline, all others go on. Returns what ends the watch.
 */
export function watchFaults(record: (kind: FaultKind, error: unknown) => void): () => void {
  const onException = (error: unknown): void => record("exception", error)
  const onRejection = (reason: unknown): void => record("rejection", reason)
  process.on("uncaughtException", onException)
  process.on("unhandledRejection", onRejection)
  return () => {
    process.off("uncaughtException", onException)
    process.off("unhandledRejection", onRejection)
  }
}
