import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { UsageBatch } from "../../src/gateway/usage_batch.ts"
import { UsageKeeper } from "../../src/gateway/usage_keeper.ts"
import { type Store, StoreError } from "../../src/store/sql.ts"
import { listUsage, type UsageCount } from "../../src/store/usage_counts.ts"
import { makeAnswer, makeExchange } from "../support/exchange.ts"
import { memoryLog } from "../support/memory_log.ts"
import { makePrincipal } from "../support/principal.ts"
import { closeStores, open } from "../support/store.ts"
import { STORES } from "../support/store_urls.ts"

setDefaultTimeout(30_000)
afterEach(closeStores)

const NOW = Date.UTC(2026, 0, 5, 12)
const row = (changes: Partial<UsageCount> = {}): UsageCount => ({
  day: "2026-01-05",
  subject: "user:ann",
  route: "/stories",
  requests: 1,
  errors: 0,
  bytesIn: 10,
  bytesOut: 20,
  ...changes,
})
const PAGE = { after: undefined, limit: 100 }

function batch(issuer = "gatehouse") {
  const posted: UsageCount[][] = []
  const clock = { at: NOW }
  const it = new UsageBatch(
    (counts) => void posted.push([...counts]),
    () => clock.at,
  )
  it.apply(true, issuer)
  const add = (id: string | undefined, route: string, status: number | undefined) => {
    const exchange = makeExchange({ route: { id: 2, label: route, service: "" } })
    if (id !== undefined) exchange.principal = makePrincipal({ id })
    if (status !== undefined) exchange.answer = makeAnswer(status)
    exchange.bytesIn = 1
    exchange.bytesOut = 2
    it.add(exchange)
  }
  return { it, posted, clock, add }
}

test("[V-rl.6 C-4.9 C-5.9] requests are added up by caller and route; failed ones are told apart", () => {
  const { it, posted, add } = batch()
  add("ann", "/a", 200)
  add("ann", "/a", 500)
  add("ann", "/b", undefined)
  add("bob", "/a", 301)
  add(undefined, "/a", 200)
  it.flush()
  it.flush()
  const day = "2026-01-05"
  const one = { day, requests: 1, errors: 0, bytesIn: 1, bytesOut: 2 }
  expect(posted).toEqual([
    [
      { day, subject: "user:ann", route: "/a", requests: 2, errors: 1, bytesIn: 2, bytesOut: 4 },
      { ...one, subject: "user:bob", route: "/a" },
      { ...one, subject: "", route: "/a" },
      { ...one, subject: "user:ann", route: "/b", errors: 1 },
    ],
  ])
})

test("[F-42] midnight begins a new day, also when the clock is set back", () => {
  const { it, posted, clock, add } = batch()
  add("ann", "/a", 200)
  clock.at = Date.UTC(2026, 0, 6)
  add("ann", "/a", 200)
  clock.at = Date.UTC(2026, 0, 5, 23, 59, 59, 999)
  add("ann", "/a", 200)
  it.flush()
  expect(posted.flat().map(({ day }) => day)).toEqual(["2026-01-05", "2026-01-06", "2026-01-05"])
})

test("what is switched off counts nothing, and many callers are posted before the second is over", () => {
  const { it, posted, add } = batch()
  it.apply(false, "gatehouse")
  add("ann", "/a", 200)
  it.apply(true, "gatehouse")
  for (let i = 0; i < 4001; i++) add(`user-${i}`, "/a", 200)
  expect(posted.map((each) => each.length)).toEqual([2000, 2000])
})

function keep(store: Store) {
  const log = memoryLog()
  const timers: (() => void)[] = []
  const after = (_ms: number, run: () => void) => {
    timers.push(run)
    return () => undefined
  }
  return { keeper: new UsageKeeper({ store, wallClock: () => NOW, after, log }), log, timers }
}

for (const [name, freshUrl] of STORES) {
  describe(`the keeper of usage on ${name}`, () => {
    test("[V-rl.6 C-4.9 C-5.9] what all workers of all gateways count is added up", async () => {
      const url = await freshUrl()
      const [a, b, reader] = [keep(await open(url)), keep(await open(url)), await open(url)]
      for (let i = 0; i < 20; i++)
        for (const { keeper } of [a, b]) keeper.add([row(), row({ route: "/b" }), row({ subject: "'; --" })])
      await Promise.all([a.keeper.close(), b.keeper.close()])
      expect(await listUsage(reader, {}, PAGE)).toEqual([
        row({ subject: "'; --", requests: 40, bytesIn: 400, bytesOut: 800 }),
        row({ route: "/b", requests: 40, bytesIn: 400, bytesOut: 800 }),
        row({ requests: 40, bytesIn: 400, bytesOut: 800 }),
      ])
    })

    test("[F-45] a batch whose end nobody knows is tried again and counts once", async () => {
      const store = await open(await freshUrl())
      let lose = true
      const losing: Store = {
        ...store,
        async transaction(work) {
          const done = await store.transaction(work)
          if (!lose) return done
          lose = false
          throw new StoreError("unavailable", "lost after the commit")
        },
      }
      const { keeper, timers } = keep(losing)
      keeper.add([row()])
      await keeper.flush()
      keeper.add([row()])
      await keeper.flush()
      expect(timers.length).toBe(1)
      expect(await listUsage(store, {}, PAGE)).toEqual([row({ requests: 2, bytesIn: 20, bytesOut: 40 })])
    })

    test("days that are over for longer than the retention are deleted", async () => {
      const store = await open(await freshUrl())
      const { keeper } = keep(store)
      keeper.add([row({ day: "2025-12-31" }), row({ day: "2026-01-01" })])
      await keeper.flush()
      await keeper.sweep(4 * 86_400_000)
      expect((await listUsage(store, {}, PAGE)).map(({ day }) => day)).toEqual(["2026-01-01"])
    })
  })
}

test("[F-44] while the store is away usage waits, up to a bound; what is beyond it is logged as lost", async () => {
  const store = await open("sqlite::memory:")
  let away = true
  const failing: Store = {
    ...store,
    transaction: (work) =>
      away ? Promise.reject(new StoreError("full", "no room")) : store.transaction(work),
  }
  const { keeper, log } = keep(failing)
  keeper.add(Array.from({ length: 50_010 }, (_, i) => row({ subject: `user:${i}`, requests: 2 })))
  expect(log.events).toMatchObject([{ event: "usage.lost", fields: { requests: 20 } }])
  await keeper.flush()
  away = false
  keeper.add([row({ subject: "user:0" })])
  await keeper.flush()
  const sum = await store.get<{ n: number }>("SELECT CAST(SUM(requests) AS BIGINT) AS n FROM usage_counts")
  expect(sum!.n).toBe(100_001)
})
