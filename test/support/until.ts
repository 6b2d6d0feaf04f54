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

/** Waits until a count has stayed the same for 30 ms: for what only shows by nothing happening any more. */
export async function untilStill(count: () => number, what: string, timeoutMs = 20_000): Promise<void> {
  let seen = count()
  let since = performance.now()
  const still = (): boolean => {
    const now = performance.now()
    if (count() !== seen) since = now
    seen = count()
    return now - since >= 30
  }
  await until(still, what, timeoutMs)
}
