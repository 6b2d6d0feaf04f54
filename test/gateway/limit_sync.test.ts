import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { endMachines, type LimitMachine, sharedBucket, startMachine } from "../support/limit_machine.ts"
import { endRedis, startRedis } from "../support/redis.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(20_000)

afterEach(async () => {
  endMachines()
  await endRedis()
})

const HOUR = sharedBucket(10 / 3600, 10)

/** Takes until refused; how often it was allowed. */
function drain(machine: LimitMachine, caller: string, bucket = HOUR): number {
  let allowed = 0
  while (allowed < 1000 && machine.take(caller, bucket)) allowed++
  return allowed
}

async function three(url: string, intervalMs = 0) {
  return [
    await startMachine(url, intervalMs),
    await startMachine(url, intervalMs),
    await startMachine(url, intervalMs),
  ] as const
}

test("[V-rl.7] [I-rl.redis] what one machine admits, the others know after the next round", async () => {
  const redis = await startRedis()
  const [a, b, c] = await three(redis.url)
  expect(drain(a, "ann")).toBe(10)
  await a.sync.sync()
  for (const machine of [b, c]) {
    // It learns when it tells: that is the one request of the bound.
    expect(machine.take("ann", HOUR)).toBe(true)
    await machine.sync.sync()
    expect(drain(machine, "ann")).toBe(0)
  }
  expect(drain(b, "bob")).toBe(10)
})

test("[T-5.1] [C-6.1] machines hash callers by one key, which Redis keeps", async () => {
  const redis = await startRedis()
  const [a, b, c] = await three(redis.url)
  expect(b.keeper.memory.key).toEqual(a.keeper.memory.key)
  expect(c.keeper.memory.key).toEqual(a.keeper.memory.key)
  expect(await redis.client.keys("*")).toEqual(["{gatehouse:limits}:hash_key"])
})

for (const [load, shares] of [
  ["even", [1, 1, 1]],
  ["skewed", [8, 1, 1]],
] as const)
  test(`[T-5.1] [V-rl.7] under ${load} load three machines admit the limit and what comes in one interval`, async () => {
    const redis = await startRedis()
    const clock = { ms: 1_000_000 }
    const machines = [
      await startMachine(redis.url, 0, () => clock.ms),
      await startMachine(redis.url, 0, () => clock.ms),
      await startMachine(redis.url, 0, () => clock.ms),
    ]
    // Redis tells time by its own clock, so the gateways' moves with it.
    const began = performance.now()
    const bucket = sharedBucket(500, 50)
    let admitted = 0
    let next = 50
    let elapsed = 0
    /** Longest time without a round, and what full buckets lost while this process was not let run; both in ms. */
    let [longest, lost] = [0, 0]
    let toldAt = 0
    while (elapsed < 1500) {
      const since = elapsed
      elapsed = performance.now() - began
      lost += Math.max(0, elapsed - since - 50)
      clock.ms = 1_000_000 + elapsed
      for (const [i, machine] of machines.entries())
        for (let n = 0; n < shares[i]!; n++) if (machine.take("ann", bucket)) admitted++
      if (elapsed > next) {
        await Promise.all(machines.map((machine) => machine.sync.sync()))
        longest = Math.max(longest, performance.now() - began - toldAt)
        toldAt = elapsed
        next = performance.now() - began + 50
      }
      await Bun.sleep(1)
    }
    const limit = 50 + elapsed / 2
    // Each of the two others may admit a whole bucket and the rate of one round before it knows.
    const bound = limit + 2 * (50 + longest / 2)
    expect(admitted).toBeGreaterThan((limit - lost / 2) * 0.85)
    expect(admitted).toBeLessThan(bound)
  })

test("[T-5.1] exact admits not one too many, whoever is asked", async () => {
  const redis = await startRedis()
  const machines = await three(redis.url)
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, i) => machines[i % 3]!.takeExactly("ann", HOUR)),
  )
  expect(answers.filter((answer) => answer?.allowed)).toHaveLength(10)
  expect(answers.filter((answer) => answer === undefined)).toHaveLength(0)
})

test("[F-40] with Redis killed limits go on here, what they took is told on its return, and the log says both", async () => {
  const redis = await startRedis()
  const [a, b] = await three(redis.url)
  await redis.kill()
  await until(() => !a.redis.connected && !b.redis.connected, "the loss")
  expect(drain(a, "ann")).toBe(10)
  expect(drain(a, "ann")).toBe(0)
  await a.sync.sync()
  await expect(a.takeExactly("ann", HOUR)).resolves.toBeUndefined()
  await redis.start()
  await until(() => a.redis.connected && b.redis.connected, "the return")
  // The key is lost with the data: the first to come brings its own, which is that of all.
  await a.sync.sync()
  expect(b.take("ann", HOUR)).toBe(true)
  await b.sync.sync()
  expect(drain(b, "ann")).toBe(0)
  const events = a.log.events.map(({ event }) => event)
  expect(events).toEqual(["redis.available", "redis.unavailable", "redis.available"])
})

test("[F-40] a Redis that hangs is told of once, holds nothing up, and counts nothing twice when it goes on", async () => {
  const redis = await startRedis()
  const [a, b] = await three(`${redis.url}`)
  const bucket = sharedBucket(10 / 3600, 20)
  for (let i = 0; i < 4; i++) a.take("ann", bucket)
  redis.signal("SIGSTOP")
  const round = a.sync.sync()
  await until(() => !a.redis.up, "the alarm")
  expect(a.take("ann", bucket)).toBe(true)
  await expect(a.takeExactly("ann", bucket)).resolves.toBeUndefined()
  redis.signal("SIGCONT")
  await round
  await a.sync.sync()
  expect(b.take("ann", bucket)).toBe(true)
  await b.sync.sync()
  // 5 of one and 1 of the other.
  expect(drain(b, "ann", bucket)).toBe(14)
})

test("[F-40] a Redis that is read-only is an outage: what is used meanwhile is told when it takes it", async () => {
  const redis = await startRedis()
  const [a] = await three(redis.url)
  await redis.client.replicaof("127.0.0.1", 1)
  expect(a.take("ann", HOUR)).toBe(true)
  await a.sync.sync()
  expect(a.redis.up).toBe(false)
  await redis.client.replicaof("NO", "ONE")
  await untilAsked(async () => {
    await a.sync.sync()
    return a.redis.up
  }, "the return")
  expect((await redis.client.keys("*")).length).toBe(2)
})

test("[F-40] what a long outage has seen is forgotten but for what buckets still owe", async () => {
  const redis = await startRedis()
  const clock = { ms: 1_000_000 }
  const a = await startMachine(redis.url, 0, () => clock.ms)
  const b = await startMachine(redis.url, 0, () => clock.ms)
  const bucket = sharedBucket(1, 5)
  await redis.kill()
  await until(() => !a.redis.connected && !b.redis.connected, "the loss")
  for (let second = 0; second < 600; second++) {
    clock.ms += 1000
    a.take("ann", bucket)
    a.take("bob", bucket)
    await a.sync.sync()
  }
  clock.ms += 60_000
  a.take("ann", bucket)
  await a.sync.sync()
  await redis.start()
  await until(() => a.redis.connected && b.redis.connected, "the return")
  await a.sync.sync()
  expect(await redis.client.keys("*")).toHaveLength(2)
  b.take("ann", bucket)
  await b.sync.sync()
  expect(b.decision.resetMs).toBeLessThanOrEqual(5000)
  expect(drain(b, "ann", bucket)).toBeGreaterThanOrEqual(2)
})

test("[F-42] Redis' clock set back by an hour makes nobody wait longer than they owe", async () => {
  const redis = await startRedis()
  const [a, b] = await three(redis.url)
  const bucket = sharedBucket(1, 10)
  for (let i = 0; i < 4; i++) a.take("ann", bucket)
  await a.sync.sync()
  // What is there looks as if it had been written an hour from now.
  const name = (await redis.client.keys("*")).find((key) => !key.endsWith("hash_key"))!
  const [tat = "", at = ""] = (await redis.client.get(name))!.split(" ")
  await redis.client.set(name, `${Number(tat) + 3_600_000} ${Number(at) + 3_600_000}`)
  expect(b.take("ann", bucket)).toBe(true)
  await b.sync.sync()
  expect(drain(b, "ann", bucket)).toBe(5)
  expect(b.decision.retryAfterMs).toBeLessThanOrEqual(1000)
})

test("[F-42] Redis' clock set forward forgives at most what the others took", async () => {
  const redis = await startRedis()
  const [a, b] = await three(redis.url)
  expect(drain(a, "ann")).toBe(10)
  await a.sync.sync()
  const name = (await redis.client.keys("*")).find((key) => !key.endsWith("hash_key"))!
  const [tat = "", at = ""] = (await redis.client.get(name))!.split(" ")
  await redis.client.set(name, `${Number(tat) - 36_000_000} ${Number(at) - 36_000_000}`)
  await a.sync.sync()
  expect(drain(a, "ann")).toBe(0)
  expect(drain(b, "ann")).toBe(10)
  await b.sync.sync()
  expect(drain(b, "ann")).toBe(0)
})
