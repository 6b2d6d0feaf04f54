import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { toShared } from "../../src/upstream/discovery/registration.ts"
import { endRedis, type RedisServer, startRedis } from "../support/redis.ts"
import { registered } from "../support/registered.ts"
import { endRegistryVms, type RegistryVm, startRegistryVm } from "../support/registry_vm.ts"
import { untilAsked } from "../support/until.ts"

setDefaultTimeout(20_000)

afterEach(async () => {
  endRegistryVms()
  await endRedis()
})

const KEY = "{gatehouse:registry}:"

async function two(): Promise<{ redis: RedisServer; a: RegistryVm; b: RegistryVm }> {
  const redis = await startRedis()
  const a = await startRegistryVm(redis.url, "aaaa")
  const b = await startRegistryVm(redis.url, "bbbb")
  await rounds(a, b)
  return { redis, a, b }
}

async function rounds(...vms: readonly RegistryVm[]): Promise<void> {
  for (const vm of vms) await vm.sync.round()
}

/** Lets a TTL end in Redis, whose clock a test cannot move. */
async function end(redis: RedisServer, id: string): Promise<void> {
  await redis.client.zadd(`${KEY}ends`, 1, id)
}

/** Rounds until Redis answers again. */
async function back(vm: RegistryVm): Promise<void> {
  await untilAsked(async () => {
    await vm.sync.round()
    return vm.sync.rule === "shared"
  }, "a round")
}

test("[T-1.4] what happens at one gateway is known at the other after a round of each", async () => {
  const { a, b } = await two()
  const one = registered({ port: 1 })
  const other = registered({
    port: 2,
    check_endpoint: "/health",
    depends_on: ["users"],
    tags: ["x"],
    zone: "z",
  })
  a.register(one)
  b.register(other)
  await rounds(a, b, a)
  expect(a.known()).toEqual([one.url, other.url])
  expect(b.known()).toEqual([one.url, other.url])
  expect(a.registry.findById(other.id)).toEqual(other)
  b.drain(one, true)
  await rounds(b, a)
  expect(a.known()).toEqual([`-${one.url}`, other.url])
  a.drain(one, false)
  a.deregister(other)
  await rounds(a, b)
  expect(b.known()).toEqual([one.url])
})

test("[T-1.4] a gateway that starts anew knows what was registered", async () => {
  const { redis, a } = await two()
  const one = registered({ port: 1 })
  a.register(one)
  a.drain(one, true)
  await rounds(a)
  const c = await startRegistryVm(redis.url, "cccc")
  await rounds(c)
  expect(c.known()).toEqual([`-${one.url}`])
})

test("[T-1.4] heartbeats at any gateway keep an instance everywhere, and without them it leaves everywhere", async () => {
  const { redis, a, b } = await two()
  const one = registered({ ttl: 10 })
  a.register(one)
  await rounds(a, b)
  const before = Number(await redis.client.zscore(`${KEY}ends`, one.id))
  b.heartbeat(one)
  await untilAsked(async () => {
    b.heartbeat(one)
    await rounds(b)
    return Number(await redis.client.zscore(`${KEY}ends`, one.id)) > before
  }, "a later end")
  // The clock of `a` says its TTL has ended: it does not decide.
  a.pass(60_000)
  await rounds(a)
  a.sweep()
  expect(a.known()).toEqual([one.url])
  await end(redis, one.id)
  b.pass(60_000)
  await rounds(b, a)
  expect(a.known()).toEqual([])
  expect(b.known()).toEqual([])
})

test("[T-1.4] a heartbeat that came in the meantime brings an instance back that Redis let go", async () => {
  const { redis, a, b } = await two()
  const one = registered({ ttl: 10 })
  a.register(one)
  await rounds(a, b)
  await end(redis, one.id)
  a.heartbeat(one)
  await redis.client.zrem(`${KEY}ends`, one.id)
  await end(redis, one.id)
  await rounds(b)
  expect(b.known()).toEqual([])
  await rounds(a, a, b)
  expect(a.known()).toEqual([one.url])
  expect(b.known()).toEqual([one.url])
})

test("[T-1.4] drained at one gateway and registered again at another, it is drained and has its new words", async () => {
  const { a, b } = await two()
  a.register(registered())
  await rounds(a, b)
  a.drain(registered(), true)
  b.register(registered({ weight: 9 }))
  await rounds(a, b, a, b)
  for (const vm of [a, b]) {
    expect(vm.registry.findById(registered().id)).toMatchObject({ draining: true, weight: 9 })
  }
})

test("[T-1.4] while Redis is away each gateway goes on, and what happened is told when it is back", async () => {
  const { redis, a, b } = await two()
  const [kept, left, came] = [1, 2, 3].map((port) => registered({ port, check_endpoint: "/h" })) as [
    ReturnType<typeof registered>,
    ReturnType<typeof registered>,
    ReturnType<typeof registered>,
  ]
  a.register(kept)
  a.register(left)
  await rounds(a, b)
  redis.signal("SIGSTOP")
  a.deregister(left)
  a.drain(kept, true)
  b.register(came)
  a.pass(3000)
  b.pass(3000)
  expect(a.known()).toEqual([`-${kept.url}`])
  expect(b.known()).toEqual([kept.url, left.url, came.url])
  expect(a.sync.rule).toBe("cut_off")
  redis.signal("SIGCONT")
  await rounds(a, b, a)
  for (const vm of [a, b]) expect(vm.known()).toEqual([`-${kept.url}`, came.url].sort())
})

test("[T-1.4] while Redis is away TTLs are longer for what others may hear of, and end for what came here alone", async () => {
  const { redis, a, b } = await two()
  const own = registered({ port: 1, ttl: 10 })
  const shared = registered({ port: 2, ttl: 10 })
  const others = registered({ port: 3, ttl: 10 })
  a.register(own)
  a.register(shared)
  b.register(others)
  await rounds(a, b)
  b.heartbeat(shared)
  await rounds(b, a)
  await redis.kill()
  a.pass(60_000)
  await rounds(a)
  a.sweep()
  expect(a.known()).toEqual([shared.url, others.url])
})

test("[T-1.4] Redis that comes back empty is told by those who know, and nothing is lost", async () => {
  const { redis, a, b } = await two()
  const [one, other, gone] = [1, 2, 3].map((port) => registered({ port })) as [
    ReturnType<typeof registered>,
    ReturnType<typeof registered>,
    ReturnType<typeof registered>,
  ]
  a.register(one)
  a.register(gone)
  b.register(other)
  await rounds(a, b, a)
  await redis.kill()
  a.drain(other, true)
  a.deregister(gone)
  a.pass(3000)
  b.pass(3000)
  await redis.start()
  // The one that has not heard of it is first.
  await back(b)
  await rounds(b)
  await back(a)
  await rounds(a, b, a, b)
  for (const vm of [a, b]) expect(vm.known()).toEqual([`-${other.url}`, one.url].sort())
  const c = await startRegistryVm(redis.url, "cccc")
  await rounds(c)
  expect(c.known()).toEqual(a.known())
})

test("[T-1.4] who left stays away, though a gateway that has not heard of it knows Redis lost its data", async () => {
  const { redis, a, b } = await two()
  const one = registered()
  a.register(one)
  await rounds(a, b)
  await redis.kill()
  a.deregister(one)
  a.pass(3000)
  b.pass(3000)
  await redis.start()
  await back(a)
  await back(b)
  await rounds(b, a, b)
  expect(a.known()).toEqual([])
  expect(b.known()).toEqual([])
})

test("[T-1.4] when no gateway could reach Redis for long, nobody's TTL has ended by that", async () => {
  const { redis, a, b } = await two()
  const one = registered({ ttl: 5 })
  a.register(one)
  await rounds(a, b)
  // The last round was a minute ago, and the TTL ended since.
  const now = Number((await redis.client.time())[0]) * 1000
  await redis.client.hset(`${KEY}meta`, "at", now - 60_000)
  await redis.client.zadd(`${KEY}ends`, now - 50_000, one.id)
  await rounds(b, a)
  expect(a.known()).toEqual([one.url])
  expect(b.known()).toEqual([one.url])
})

test("[F-69] what others write into Redis is checked, and told of once", async () => {
  const { redis, a } = await two()
  const good = registered()
  a.register(good)
  await rounds(a)
  const forge = async (id: string, entry: string) => {
    await redis.client.hset(`${KEY}instances`, id, entry)
    const revision = await redis.client.hincrby(`${KEY}meta`, "revision", 1)
    await redis.client.zadd(`${KEY}changes`, revision, id)
  }
  const wrong = registered({ port: 2 })
  await forge(wrong.id, "garbage")
  await forge("not-an-id", `0x ${toShared(wrong)}`)
  await forge("ffffffffffffffff", `0x ${toShared(wrong)}`)
  await forge("\u0000", "0")
  await forge(
    registered({ port: 3 }).id,
    `0* ${toShared(registered({ port: 3 })).replace("10.0.0.1", "10.0.0.2")}`,
  )
  await rounds(a)
  expect(a.known()).toEqual([good.url])
  expect(a.log.events.filter(({ event }) => event === "registry.unread")).toHaveLength(1)
})

test("[T-1.4] only changes are sent, and all only to who knows none", async () => {
  const { redis, a, b } = await two()
  for (let port = 1; port <= 200; port++) a.register(registered({ port }))
  await rounds(a, b)
  expect(b.known()).toHaveLength(200)
  const bytes = async () => Number(/total_net_output_bytes:(\d+)/.exec(await redis.client.info("stats"))![1])
  a.drain(registered({ port: 7 }), true)
  await rounds(a)
  const before = await bytes()
  await rounds(b)
  // The answer, and what INFO itself takes; all there is would be over 30 KB.
  expect((await bytes()) - before).toBeLessThan(15_000)
  expect(b.registry.findById(registered({ port: 7 }).id)?.draining).toBe(true)
})

test("[T-1.4] what left is forgotten by Redis after an hour", async () => {
  const { redis, a, b } = await two()
  const one = registered()
  a.register(one)
  a.register(registered({ port: 2 }))
  await rounds(a, b)
  a.deregister(one)
  await rounds(a)
  expect(await redis.client.hget(`${KEY}instances`, one.id)).toBe("L")
  await redis.client.zadd(`${KEY}gone`, 1, one.id)
  await rounds(a)
  expect(await redis.client.hget(`${KEY}instances`, one.id)).toBeNull()
  // It missed what was forgotten, and is told all.
  await rounds(b)
  expect(b.known()).toEqual([registered({ port: 2 }).url])
})
