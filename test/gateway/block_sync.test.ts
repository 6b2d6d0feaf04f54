import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { type BlockMachine, endBlockMachines, startBlockMachine } from "../support/block_machine.ts"
import { endRedis, startRedis } from "../support/redis.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(20_000)

afterEach(async () => {
  endBlockMachines()
  await endRedis()
})

const CLIENT = "192.0.2.1"
const HOUR = 3_600_000
const STATES = "{gatehouse:blocks}:states"

const pair = async (url: string, options: Parameters<typeof startBlockMachine>[1] = {}) =>
  [await startBlockMachine(url, options), await startBlockMachine(url, options)] as const

/** Rounds of all until there is nothing more to tell or to hear. */
async function settle(...machines: readonly BlockMachine[]): Promise<void> {
  for (let round = 0; round < 2; round++) for (const machine of machines) while (await machine.sync.sync());
}

/** How long the latest block of the client lasts, in minutes. */
const minutesOf = (machine: BlockMachine) => Math.round((machine.left(CLIENT) ?? 0) / 60_000)

test("[T-5.5] who is blocked by one machine is blocked by the others, and let in by all when lifted by any", async () => {
  const redis = await startRedis()
  const [a, b] = await pair(redis.url)
  a.keeper.offended(CLIENT, "not_found")
  await until(() => b.left(CLIENT) !== undefined, "b to hear of it")
  expect(Math.abs(b.left(CLIENT)! - a.left(CLIENT)!)).toBeLessThan(500)
  expect([...b.keeper.blocks()]).toMatchObject([{ client: CLIENT, reason: "not_found", times: 1, note: "" }])
  expect(b.log.events.map(({ event }) => event)).toContain("client.block_shared")
  expect(b.keeper.unblock(CLIENT)).toBe(true)
  await until(() => a.left(CLIENT) === undefined, "a to hear of it")
})

test("[T-5.5] blocks grow over all machines, and those by hand go along with their note", async () => {
  const redis = await startRedis()
  const clock = { ms: 1_000_000 }
  const [a, b] = await pair(redis.url, { manual: true, now: () => clock.ms })
  a.keeper.offended(CLIENT, "not_found")
  await settle(a, b)
  clock.ms += 61_000
  b.keeper.blocks()
  b.keeper.offended(CLIENT, "unauthorized")
  expect(minutesOf(b)).toBe(4)
  await settle(b, a)
  expect(minutesOf(a)).toBe(4)
  b.keeper.block("2001:db8:1:2::/64", HOUR, "scans  for logins")
  await settle(b, a)
  expect([...a.keeper.blocks()].at(-1)).toMatchObject({
    client: "2001:db8:1:2::/64",
    reason: "operator",
    note: "scans  for logins",
    times: 0,
  })
})

test("a machine that starts knows all blocks and levels before it goes on, page after page", async () => {
  const redis = await startRedis()
  const a = await startBlockMachine(redis.url, { manual: true })
  for (let i = 0; i < 1300; i++) a.keeper.offended(`10.0.${i >> 8}.${i & 255}`, "not_found")
  await settle(a)
  const b = await startBlockMachine(redis.url)
  expect([...b.keeper.blocks()]).toHaveLength(1300)
  expect(b.synced.heard).toBe(1300)
  b.keeper.unblock("10.0.0.9")
  await untilAsked(async () => {
    await settle(a)
    return [...a.keeper.blocks()].length === 1299
  }, "a to hear of the end of one")
})

test("[F-40] with Redis killed each machine goes on alone; when it is back, empty, the states merge", async () => {
  const redis = await startRedis()
  const [a, b] = await pair(redis.url)
  a.keeper.offended("192.0.2.10", "not_found")
  a.keeper.block("192.0.2.11", HOUR, "")
  await until(() => b.left("192.0.2.11") !== undefined, "b to hear of both")
  await redis.kill()
  await until(() => !a.redis.connected && !b.redis.connected, "the loss")
  a.keeper.block("192.0.2.12", 2 * HOUR, "the longer")
  b.keeper.block("192.0.2.12", HOUR, "the shorter")
  b.keeper.offended("192.0.2.13", "excess")
  expect(b.keeper.unblock("192.0.2.11")).toBe(true)
  expect(a.left("192.0.2.11")).toBeNumber()
  await redis.start()
  await until(
    () => a.left("192.0.2.13") !== undefined && a.left("192.0.2.11") === undefined,
    "a to hear of b",
  )
  await until(() => b.left("192.0.2.12")! > 1.5 * HOUR, "b to hear of a")
  expect(a.left("192.0.2.12")! / HOUR).toBeCloseTo(2, 1)
  for (const machine of [a, b]) {
    const clients = [...machine.keeper.blocks()].map(({ client }) => client)
    expect(clients.sort()).toEqual(["192.0.2.10", "192.0.2.12", "192.0.2.13"])
  }
})

test("[F-40] a lift ends what began before it on a machine that comes back later, and not what began after", async () => {
  const redis = await startRedis()
  const [a, b] = await pair(redis.url, { manual: true })
  a.keeper.block(CLIENT, HOUR, "")
  await settle(a, b)
  a.keeper.unblock(CLIENT)
  a.keeper.block("192.0.2.2", HOUR, "")
  // It hears of neither, but tells all it knows of again, as after a broken connection.
  await redis.client.flushall()
  await settle(b)
  expect(b.left(CLIENT)).toBeNumber()
  await settle(a, b)
  expect([b.left(CLIENT), a.left(CLIENT)]).toEqual([undefined, undefined])
  b.keeper.block(CLIENT, HOUR, "again")
  await settle(b, a)
  expect(a.left(CLIENT)).toBeNumber()
  expect(a.left("192.0.2.2")).toBeNumber()
})

test("[T-5.5] the word of an operator counts before what was found out, and a new one replaces the last", async () => {
  const redis = await startRedis()
  const [a, b] = await pair(redis.url, { manual: true })
  a.keeper.offended(CLIENT, "not_found")
  await settle(a, b)
  b.keeper.block(CLIENT, 30_000, "short")
  await settle(b, a)
  expect(a.left(CLIENT)).toBeLessThan(31_000)
  expect([...a.keeper.blocks()]).toMatchObject([{ reason: "operator", note: "short" }])
  a.keeper.block(CLIENT, HOUR, "long")
  await settle(a, b)
  b.keeper.block(CLIENT, 20_000, "shorter")
  await settle(b, a, b)
  expect(a.left(CLIENT)).toBeLessThan(21_000)
  expect(b.left(CLIENT)).toBeLessThan(21_000)
})

test("[F-60] who is exempt here is not blocked by what others say; without the section only those by hand are", async () => {
  const redis = await startRedis()
  const a = await startBlockMachine(redis.url, { manual: true })
  const file = {
    abuse: { allow: ["192.0.2.0/28"], block: { max: "10m" } },
    server: { trusted_proxies: ["10.0.0.0/8"] },
  }
  const b = await startBlockMachine(redis.url, { manual: true, file })
  const c = await startBlockMachine(redis.url, { manual: true, file: {} })
  for (const client of ["192.0.2.1", "10.1.1.1", "198.51.100.1"]) {
    a.keeper.block(client, HOUR, "")
    a.keeper.offended(client.replace(/1$/, "2"), "not_found")
  }
  await settle(a, b, c)
  const clientsOf = ({ keeper }: BlockMachine) => [...keeper.blocks()].map(({ client }) => client).sort()
  expect(clientsOf(b)).toEqual(["198.51.100.1", "198.51.100.2"])
  expect(clientsOf(c)).toEqual(["10.1.1.1", "192.0.2.1", "198.51.100.1"])
})

const age = "1000.000"
const FIT = `- - x.1 ${age} 60000.000 1 ${age} 1 90000.000 90000.000 not_found`

test("[F-40] content of Redis that no gateway wrote is dropped or passed over: nobody is blocked by it, and nothing breaks", async () => {
  const redis = await startRedis()
  const a = await startBlockMachine(redis.url, { manual: true })
  a.keeper.block("192.0.2.1", HOUR, "")
  await settle(a)
  const far = Date.now() + 1000 * 366 * 86_400_000
  const seconds = Date.now() - 1000
  const hostile: [string, string][] = [
    ["192.0.2.20", ""],
    ["192.0.2.21", "x"],
    ["192.0.2.22", "9".repeat(100_000)],
    ["192.0.2.23", `0 - - ${"9".repeat(400)} 0 0 0 0 0 0 -`],
    ["192.0.2.24", `0 - x.1 1..2 ${far} 1 0 0 0 ${far} not_found`],
    ["192.0.2.25", `0 - x.1 ${seconds} ${far} 1 0 0 0 ${far} made_up`],
    ["192.0.2.26", `0 - x.1 ${seconds} ${far} 1 0 0 0 ${far} operator by hand, yet counted`],
    ["192.0.2.27", `0 - x.1 ${seconds} ${far} 0 0 0 0 ${far} operator \u0007bell`],
    ["192.0.2.28", `0 - x.1 ${seconds} ${far} 0 0 0 0 ${far} operator ${"long".repeat(100)}`],
    ["0.0.0.0/0", `0 - x.1 ${seconds} ${far} 0 0 0 0 ${far} operator`],
    ["::/0", `0 - x.1 ${seconds} ${far} 0 0 0 0 ${far} operator`],
    ["2001:db8::1", `0 - x.1 ${seconds} ${far} 0 0 0 0 ${far} operator`],
    ["fe80::1%eth0", `0 - x.1 ${seconds} ${far} 0 0 0 0 ${far} operator`],
    ["127.0.0.1", `0 - x.1 ${seconds} ${far} 0 0 0 0 ${far} operator`],
    ["everybody", `0 - x.1 ${seconds} ${far} 0 0 0 0 ${far} operator`],
    // Fit but for its times, which are cut to what config has.
    ["192.0.2.40", `0 - x.1 ${seconds} ${far} 1 0 0 0 ${far} not_found`],
  ]
  for (const [i, [client, state]] of hostile.entries()) {
    await redis.client.hset(STATES, client, state)
    await redis.client.zadd("{gatehouse:blocks}:changes", 100 + i, client)
    await redis.client.zadd("{gatehouse:blocks}:ends", far, client)
  }
  await redis.client.hset(STATES, "seq", 200)
  const b = await startBlockMachine(redis.url, { manual: true })
  const clients = [...b.keeper.blocks()].map(({ client }) => client)
  expect(clients.sort()).toEqual(["192.0.2.1", "192.0.2.40"])
  expect(b.left("192.0.2.40")).toBeLessThanOrEqual(24 * HOUR)
  expect(b.synced.unfit).toBeGreaterThan(5)
  expect(b.redis.up).toBe(true)
})

for (const [what, spoil] of [
  ["a key of another type", ["set", STATES, "x"]],
  ["a missing key", ["del", "{gatehouse:blocks}:changes"]],
  ["an entry too many", ["hset", STATES, "192.0.2.99", FIT]],
  ["a number out of bounds", ["hset", STATES, "seq", "1e300"]],
  ["no number", ["hset", STATES, "seq", "x"]],
  ["an endless epoch", ["hset", STATES, "epoch", "x".repeat(10_000)]],
] as const)
  test(`[F-40] keys that do not agree (${what}) begin anew, and all machines tell what they know`, async () => {
    const redis = await startRedis()
    const [a, b] = await pair(redis.url, { manual: true })
    a.keeper.block("192.0.2.1", HOUR, "")
    b.keeper.block("192.0.2.2", HOUR, "")
    await settle(a, b)
    await redis.client.call(...(spoil as readonly [string, ...string[]]))
    a.keeper.block("192.0.2.3", HOUR, "")
    await settle(a, b)
    const c = await startBlockMachine(redis.url, { manual: true })
    for (const { keeper } of [a, b, c])
      expect([...keeper.blocks()].map(({ client }) => client).sort()).toEqual([
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.3",
      ])
    expect(a.redis.up).toBe(true)
  })

test("[F-42] Redis' clock set back by an hour makes no block longer, and a lift after it counts", async () => {
  const redis = await startRedis()
  const a = await startBlockMachine(redis.url, { manual: true })
  a.keeper.block(CLIENT, HOUR, "")
  await settle(a)
  // What is there looks as if it had been written an hour from now.
  const state = (await redis.client.hget(STATES, CLIENT))!
  const later = state.replaceAll(/\d{13}\.\d{3}/g, (at) => (Number(at) + HOUR).toFixed(3))
  await redis.client.hset(STATES, CLIENT, later)
  const b = await startBlockMachine(redis.url, { manual: true })
  expect(b.left(CLIENT)! / HOUR).toBeCloseTo(1, 2)
  b.keeper.unblock(CLIENT)
  await settle(b, a)
  expect(a.left(CLIENT)).toBeUndefined()
})

test("what is over is forgotten in Redis too, and more than the cap is not kept", async () => {
  const redis = await startRedis()
  const file = { abuse: { block: { first: "1s", forgive_after: "1s" } } }
  const a = await startBlockMachine(redis.url, { file })
  a.keeper.offended(CLIENT, "not_found")
  await untilAsked(async () => (await redis.client.hlen(STATES)) === 3, "the entry")
  await untilAsked(async () => (await redis.client.hlen(STATES)) === 2, "its end")
  const far = Date.now() + HOUR
  for (let page = 0; page < 11; page++) {
    const clients = Array.from({ length: 10_000 }, (_, i) => `10.${page}.${i >> 8}.${i & 255}`)
    const state = `0 - x.1 ${Date.now() - 5} ${far} 1 0 0 0 ${far} not_found`
    await redis.client.hset(STATES, ...clients.flatMap((client) => [client, state]))
    await redis.client.zadd("{gatehouse:blocks}:changes", ...clients.flatMap((client) => [1, client]))
    await redis.client.zadd("{gatehouse:blocks}:ends", ...clients.flatMap((client) => [far, client]))
  }
  await untilAsked(async () => (await redis.client.hlen(STATES)) <= 100_002, "the cap")
})
