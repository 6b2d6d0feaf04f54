import type { Exchange } from "../upstream/exchange.ts"
import { type Failure, fail } from "./failure.ts"
import type { Limit } from "./limit.ts"
import type { Limits } from "./limits.ts"

/** Nobody hears it: the client has left. */
const LEFT = fail("RATE_LIMITED", { cause: "the client left while it waited for its turn" })

/** How long a request must wait for what its limits have taken in advance, in ms; 0: it need not. */
export function waitOf(limits: readonly Limit[]): number {
  let longest = 0
  for (let i = 0; i < limits.length; i++) longest = Math.max(longest, limits[i]!.waitMs)
  return longest
}

/**
 * Waits until the request's turn has come. Its tokens are taken already, so the order is that of coming, over all
 * workers, and nobody need be told whose turn it is. A client that leaves gives them back.
 */
export function waitForTurn(
  exchange: Exchange,
  asked: readonly Limit[],
  waitMs: number,
  { after }: Pick<Limits, "after">,
): Promise<Failure | undefined> {
  const { promise, resolve } = Promise.withResolvers<Failure | undefined>()
  const places = asked.map((limit) => limit.place())
  const queues = asked.filter((limit) => limit.waitMs > 0)
  for (const limit of queues) limit.waiting++
  const leave = (verdict: Failure | undefined) => {
    for (const limit of queues) limit.waiting--
    exchange.pending = undefined
    resolve(verdict)
  }
  const stop = after(waitMs, () => leave(undefined))
  exchange.pending = {
    cancel() {
      stop()
      for (const giveBack of places) giveBack()
      leave(LEFT)
    },
  }
  exchange.arrival.watch?.()
  return promise
}
