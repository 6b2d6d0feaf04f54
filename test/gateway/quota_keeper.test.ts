import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { QuotaKeeper } from "../../src/gateway/quota_keeper.ts"
import { Counts } from "../../src/observe/counts.ts"
import type { QuotaTake } from "../../src/store/quota_usage.ts"
import { usedUnits } from "../../src/store/quota_usage.ts"
import { type Store, StoreError } from "../../src/store/sql.ts"
import { memoryLog } from "../support/memory_log.ts"
import { closeStores, open, openTransaction } from "../support/store.ts"
import { STORES } from "../support/store_urls.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(30_000)
afterEach(closeStores)

const NOW = Date.UTC(2026, 0, 5)
const take = (changes: Partial<QuotaTake> = {}): QuotaTake => ({
  quota: "stories",
  subject: "user:ann",
  periodStart: NOW,
  periodEnd: NOW + 86_400_000,
  cost: 1,
  limit: 5,
  ...changes,
})
const ask = (...takes: QuotaTake[]) => ({ kind: "quota", takes }) as const

function keep(store: Store) {
  const log = memoryLog()
  const counts = new Counts()
  const timers: (() => void)[] = []
  const after = (_ms: number, run: () => void) => {
    timers.push(run)
    return () => undefined
  }
  const keeper = new QuotaKeeper({ store, wallClock: () => NOW, after, counts, log })
  const counted = () =>
    Object.fromEntries(
      [...counts.rows()].map(({ labels, value }) => [Object.values(labels).join(" "), value]),
    )
  return {
    keeper,
    log,
    counted,
    passTime: () => {
      for (const run of timers.splice(0)) run()
    },
  }
}

for (const [name, freshUrl] of STORES) {
  describe(`the keeper of quotas on ${name}`, () => {
    test("[V-rl.2] of many who ask two gateways at once exactly as many are let through as there are units", async () => {
      const url = await freshUrl()
      const vms = [keep(await open(url)), keep(await open(url))]
      const asked = Array.from({ length: 200 }, (_, i) => vms[i % 2]!.keeper.answer(ask(take({ limit: 61 }))))
      const answers = await Promise.all(asked)
      expect(answers.filter((each) => each?.refusing === -1).length).toBe(61)
      expect(answers.filter((each) => each?.refusing === 0).length).toBe(139)
      const sum = (result: string) =>
        vms.reduce((total, each) => total + (each.counted()[`stories ${result}`] ?? 0), 0)
      expect([sum("allowed"), sum("refused"), sum("warned_80"), sum("warned_100")]).toEqual([61, 139, 1, 1])
    })

    test("several quotas are taken from together or not at all, also side by side at two gateways", async () => {
      const url = await freshUrl()
      const vms = [keep(await open(url)), keep(await open(url))]
      const images = take({ quota: "images", limit: 3 })
      const stories = take({ limit: 50 })
      const asked = Array.from({ length: 60 }, (_, i) =>
        vms[i % 2]!.keeper.answer(i % 3 === 0 ? ask(stories) : ask(images, stories)),
      )
      const answers = await Promise.all(asked)
      expect(answers.every((each) => each !== undefined)).toBe(true)
      const store = await open(url)
      expect(await usedUnits(store, images)).toBe(3)
      expect(await usedUnits(store, stories)).toBe(20 + 3)
    })

    test("a warning is logged with whom it is about", async () => {
      const { keeper, log } = keep(await open(await freshUrl()))
      for (let i = 0; i < 6; i++) await keeper.answer(ask(take()))
      expect(log.events.map(({ event, fields }) => [event, fields.percent, fields.subject])).toEqual([
        ["quota.warning", 80, "user:ann"],
        ["quota.warning", 100, "user:ann"],
      ])
    })

    test("[V-rl.2] what is given back is there for the next one", async () => {
      const { keeper, counted } = keep(await open(await freshUrl()))
      await keeper.answer(ask(take({ limit: 1 })))
      keeper.giveBack([take()])
      expect((await keeper.answer(ask(take({ limit: 1 }))))?.refusing).toBe(-1)
      expect(counted()["stories returned"]).toBe(1)
    })
  })
}

test("[F-45] who waits too long for the store is told that nobody knows, and what it takes later is given back", async () => {
  const store = await open("sqlite::memory:")
  const { keeper, counted, passTime } = keep(store)
  const held = await openTransaction(store)
  const waiting = keeper.answer(ask(take()))
  // Its transaction has to have begun to wait.
  await new Promise((resolve) => setImmediate(resolve))
  await new Promise((resolve) => setImmediate(resolve))
  passTime()
  expect(await waiting).toBeUndefined()
  await held.end()
  await until(() => counted()["stories returned"] === 1, "the return")
  await keeper.close()
  expect(await usedUnits(store, take())).toBe(0)
  expect(counted()["stories unavailable"]).toBe(1)
})

test("[F-44 F-45] a store that fails means that nobody knows; the keeper goes on when it is back", async () => {
  const store = await open("sqlite::memory:")
  let away = true
  const failing: Store = {
    ...store,
    transaction: (work) =>
      away ? Promise.reject(new StoreError("full", "no room")) : store.transaction(work),
  }
  const { keeper, log, counted } = keep(failing)
  expect(await keeper.answer(ask(take()))).toBeUndefined()
  keeper.giveBack([take()])
  await until(() => log.events.length === 1, "the line about the return")
  expect(log.events[0]).toMatchObject({ event: "quota.not_returned", fields: { returns: 1 } })
  away = false
  expect((await keeper.answer(ask(take())))?.refusing).toBe(-1)
  expect(counted()["stories unavailable"]).toBe(1)
})

test("[F-45] no more than ten thousand wait; the next one is told at once", async () => {
  const store = await open("sqlite::memory:")
  const { keeper, passTime } = keep(store)
  const held = await openTransaction(store)
  const waiting = Array.from({ length: 10_000 }, () => keeper.answer(ask(take())))
  expect(await keeper.answer(ask(take()))).toBeUndefined()
  passTime()
  expect((await Promise.all(waiting)).every((each) => each === undefined)).toBe(true)
  await held.end()
  await keeper.close()
})
