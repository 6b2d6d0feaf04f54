// Evaluated before all else of a thread, at the first import of each entry point: what a start runs, it runs once, and
// the runtime's compiler would take a fifth of the start's CPU for code that is never called again.
Bun.unsafe.setJITPolicy(8)

/** From here on code is compiled as usual: the thread has started. It counts for the calling thread only. */
export function compileAsUsual(): void {
  Bun.unsafe.setJITPolicy(1)
}
