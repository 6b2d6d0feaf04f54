import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { endMachines, type LimitMachine, sharedBucket, startMachine } from "../support/limit_machine.ts"
import { freePort } from "../support/nginx.ts"
import { type Identity, Pki } from "../support/pki.ts"
import { endRedis, startRedis } from "../support/redis.ts"
import { openRedisProxy, type RedisProxy } from "../support/redis_proxy.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(20_000)

const pki = new Pki()
const proxies: RedisProxy[] = []
let authority: Identity
let leaf: Identity

beforeAll(() => {
  authority = pki.authority("redis-ca")
  leaf = pki.leaf("redis", { by: authority, names: "IP:127.0.0.1" })
})
afterAll(() => pki.remove())
afterEach(async () => {
  endMachines()
  for (const proxy of proxies.splice(0)) proxy.close()
  await endRedis()
})

const MORE = { tls: false, prefix: "gatehouse", connect_timeout: 2000, command_timeout: 500 }
const HOUR = sharedBucket(10 / 3600, 10)
const WIDE = sharedBucket(20 / 3600, 20)

function drain(machine: LimitMachine, caller: string, bucket = HOUR): number {
  let allowed = 0
  while (allowed < 1000 && machine.take(caller, bucket)) allowed++
  return allowed
}

async function viaProxy() {
  const redis = await startRedis()
  const proxy = openRedisProxy(redis.port)
  proxies.push(proxy)
  return { redis, proxy, a: await startMachine(proxy.url), b: await startMachine(redis.url) }
}

test("[F-40] a connection reset in the middle of a round loses nothing, and counts a round twice at most", async () => {
  const { proxy, a, b } = await viaProxy()
  for (let i = 0; i < 4; i++) expect(a.take("ann", WIDE)).toBe(true)
  proxy.mode = "reset"
  expect(await a.sync.sync()).toBe(false)
  expect(a.redis.up).toBe(false)
  await expect(a.takeExactly("ann", WIDE)).resolves.toBeUndefined()
  expect(a.take("ann", WIDE)).toBe(true)
  proxy.mode = "pass"
  await until(() => a.redis.connected, "another connection")
  await a.sync.sync()
  expect(a.redis.up).toBe(true)
  expect(b.take("ann", WIDE)).toBe(true)
  await b.sync.sync()
  // 20 but for 5 of one and 1 of the other, and 4 more should Redis have heard them twice.
  const left = drain(b, "ann", WIDE)
  expect(left).toBeGreaterThanOrEqual(10)
  expect(left).toBeLessThanOrEqual(14)
})

test("[F-40] a Redis that loads its data is an outage: limits go on, and what is used is told when it is ready", async () => {
  const { proxy, a, b } = await viaProxy()
  proxy.mode = "loading"
  expect(drain(a, "ann")).toBe(10)
  await a.sync.sync()
  expect(a.redis.up).toBe(false)
  await expect(a.takeExactly("ann", HOUR)).resolves.toBeUndefined()
  expect(drain(a, "ann")).toBe(0)
  const reasons = a.log.events.filter(({ event }) => event === "redis.unavailable")
  expect(reasons.map(({ fields }) => String(fields.reason))).toEqual([expect.stringContaining("LOADING")])
  proxy.mode = "pass"
  await untilAsked(async () => {
    await a.sync.sync()
    return a.redis.up
  }, "the return")
  expect(b.take("ann", HOUR)).toBe(true)
  await b.sync.sync()
  expect(drain(b, "ann")).toBe(0)
})

/** A Redis that speaks TLS with a certificate of the private authority. */
async function startTlsRedis() {
  const port = freePort()
  await startRedis([
    `tls-port ${port}`,
    `tls-cert-file ${leaf.certFile}`,
    `tls-key-file ${leaf.keyFile}`,
    `tls-ca-cert-file ${authority.certFile}`,
    "tls-auth-clients no",
  ])
  return `rediss://127.0.0.1:${port}`
}

test("[I-rl.redis] by TLS with a private authority machines share limits", async () => {
  const url = await startTlsRedis()
  const config = { ...MORE, url, ca: authority.certFile }
  const [a, b] = [await startMachine(config), await startMachine(config)]
  expect(drain(a, "ann")).toBe(10)
  await a.sync.sync()
  expect(b.take("ann", HOUR)).toBe(true)
  await b.sync.sync()
  expect(drain(b, "ann")).toBe(0)
})

test("[F-40] a Redis whose certificate nobody vouches for gets no commands; limits go on here", async () => {
  const url = await startTlsRedis()
  for (const config of [url, { ...MORE, url, ca: pki.authority(`other-${url.at(-1)}`).certFile }]) {
    const machine = await startMachine(config, 0, undefined, true)
    await until(() => machine.log.events.some(({ event }) => event === "redis.unavailable"), "the alarm")
    expect(machine.redis.connected).toBe(false)
    expect(drain(machine, "ann")).toBe(10)
    expect(await machine.sync.sync()).toBe(false)
  }
})

test("[F-40] with a wrong password limits go on here, and the alarm says why without it", async () => {
  const redis = await startRedis(["requirepass right-one"], { password: "right-one" })
  const url = redis.url.replace("127.0.0.1", ":wrong-one@127.0.0.1")
  const machine = await startMachine(url, 0, undefined, true)
  await until(() => machine.log.events.some(({ event }) => event === "redis.unavailable"), "the alarm")
  expect(drain(machine, "ann")).toBe(10)
  await machine.sync.sync()
  await expect(machine.takeExactly("ann", HOUR)).resolves.toBeUndefined()
  expect(machine.redis.up).toBe(false)
  const told = JSON.stringify(machine.log.events)
  expect(told).toMatch(/WRONGPASS|NOAUTH/)
  expect(told).not.toContain("wrong-one")
})

test("[F-42] this machine's clock set forward by an hour forgives one bucket here, until the next round", async () => {
  const redis = await startRedis()
  const clock = { ms: 10_000_000 }
  const a = await startMachine(redis.url, 0, () => clock.ms)
  const b = await startMachine(redis.url)
  const bucket = sharedBucket(10 / 7200, 10)
  expect(drain(a, "ann", bucket)).toBe(10)
  await a.sync.sync()
  clock.ms += 3_600_000
  expect(drain(a, "ann", bucket)).toBe(5)
  await a.sync.sync()
  expect(drain(a, "ann", bucket)).toBe(0)
  b.take("ann", bucket)
  await b.sync.sync()
  expect(drain(b, "ann", bucket)).toBe(0)
})

test("[F-42] this machine's clock set back by an hour freezes nobody out for longer than the longest debt", async () => {
  const redis = await startRedis()
  const clock = { ms: 10_000_000 }
  const a = await startMachine(redis.url, 0, () => clock.ms)
  const b = await startMachine(redis.url)
  const bucket = sharedBucket(10, 10)
  for (let i = 0; i < 4; i++) a.take("ann", bucket)
  await a.sync.sync()
  clock.ms -= 3_600_000
  // Callers who were unknown before are not touched.
  expect(drain(a, "bob", bucket)).toBe(10)
  a.take("ann", bucket)
  expect(a.decision.retryAfterMs).toBeLessThanOrEqual(bucket.longestMs)
  await a.sync.sync()
  b.take("bob", bucket)
  await b.sync.sync()
  b.take("bob", bucket)
  expect(b.decision.resetMs).toBeLessThanOrEqual(2 * bucket.toleranceMs)
  clock.ms += a.decision.retryAfterMs + bucket.longestMs
  expect(drain(a, "ann", bucket)).toBe(10)
})
