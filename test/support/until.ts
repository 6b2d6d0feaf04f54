/** Waits until `condition` holds, looking every 2 ms; throws after `timeoutMs`. `what` names it in the error. */
export async function until(condition: () => boolean, what: string, timeoutMs = 20_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`)
    await Bun.sleep(2)
  }
}

/** The same for a condition that has to be asked for, every 20 ms. */
export async function untilAsked(
  condition: () => Promise<boolean>,
  what: string,
  timeoutMs = 20_000,
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`)
    await Bun.sleep(20)
  }
}
