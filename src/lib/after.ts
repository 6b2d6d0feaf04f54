/** Runs `run` once after so many ms, not a moment earlier; what it returns takes it back. */
export function after(ms: number, run: () => void): () => void {
  // Timers take whole milliseconds, and cut off what is beyond.
  const timer = setTimeout(run, Math.ceil(ms))
  return () => clearTimeout(timer)
}
