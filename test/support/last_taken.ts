/** What is promised of a credential that is taken back, with half a second for a machine busy with other tests. */
export const WITHIN_MS = 1000 + 500

/**
 * Asks until the answer has been no so many times in a row, so that every worker has said so; how long after `since`
 * the last request was begun that was let through, in ms. Throws after 10 s.
 */
export async function lastTaken(
  isTaken: () => Promise<boolean>,
  since: number,
  timesRefused = 16,
): Promise<number> {
  let last = 0
  for (let refused = 0; refused < timesRefused; ) {
    const at = performance.now() - since
    if (at > 10_000) throw new Error("it is still taken")
    if (await isTaken()) {
      refused = 0
      last = at
      await Bun.sleep(5)
    } else refused++
  }
  return last
}
