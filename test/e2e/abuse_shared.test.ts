import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { askFrom } from "../support/loopback_client.ts"
import { endRedis, startRedis } from "../support/redis.ts"
import { untilAsked } from "../support/until.ts"

setDefaultTimeout(30_000)

afterEach(async () => {
  await endGateways()
  await endRedis()
})

const CLIENT = "127.0.0.5"
const configOf = (redis: string, rest: object = {}) => ({
  redis,
  abuse: { threshold: 20, weights: { not_found: 1 }, allow: [], block: { first: "1h" } },
  routes: [{ path: "/ok", respond: { body: "ok" } }],
  ...rest,
})

/** The quickest of some tries: others may have the machine meanwhile. */
async function quickest(tries: number, run: (i: number) => Promise<number>): Promise<number> {
  const took: number[] = []
  for (let i = 0; i < tries; i++) took.push(await run(i))
  return Math.min(...took)
}

/** Whether all of eight connections, which the kernel spreads over the workers, are blocked, or none is. */
async function isBlocked(gateway: GatewayProcess, from: string, blocked: boolean): Promise<boolean> {
  for (let i = 0; i < 8; i++) {
    const { status } = await askFrom(from, gateway.port, "/ok")
    if ((status === 403) !== blocked) return false
  }
  return true
}

async function comesToBe(gateway: GatewayProcess, from: string, blocked: boolean): Promise<number> {
  const startedAt = performance.now()
  await untilAsked(() => isBlocked(gateway, from, blocked), `${from} to be ${blocked ? "blocked" : "let in"}`)
  return performance.now() - startedAt
}

const scan = (gateway: GatewayProcess, from: string) =>
  Promise.all(Array.from({ length: 25 }, () => askFrom(from, gateway.port, "/no")))
const unblock = (gateway: GatewayProcess, address: string) =>
  gateway.admin(`/admin/v1/blocks/${address}`, { method: "DELETE" })
const block = (gateway: GatewayProcess, address: string, duration: string) =>
  gateway.admin("/admin/v1/blocks", { method: "POST", body: JSON.stringify({ address, duration }) })

test("[T-5.5] a block at one gateway is one at the other, on record once, and ends at both by either", async () => {
  const redis = await startRedis()
  const kept = {
    store: "sqlite::memory:",
    auth: { secret: "k3J9-aZ81-pQw7-LmN2-xYt5-Vb60-Rs4e" },
    routes: [{ path: "/ok", respond: { body: "ok" }, auth: { required: false } }],
  }
  const [a, b] = await Promise.all([
    startGateway(configOf(redis.url, kept)),
    startGateway(configOf(redis.url, kept)),
  ])
  await scan(a, CLIENT)
  await comesToBe(a, CLIENT, true)
  await comesToBe(b, CLIENT, true)
  const listed = await (await b.admin("/admin/v1/blocks")).json()
  expect(listed.blocks).toMatchObject([{ address: CLIENT, reason: "not_found", times: 1 }])
  expect((await unblock(b, CLIENT)).status).toBe(200)
  await comesToBe(a, CLIENT, false)
  expect((await block(b, "127.0.0.7", "1h")).status).toBe(201)
  await comesToBe(a, "127.0.0.7", true)
  const eventsOf = async (gateway: GatewayProcess) =>
    (await (await gateway.admin("/admin/v1/events?kind=abuse.")).json()).events.map(
      ({ type, payload }: { type: string; payload: { client: string } }) => `${type} ${payload.client}`,
    )
  expect(await eventsOf(a)).toEqual([`abuse.blocked ${CLIENT}`])
  expect(await eventsOf(b)).toEqual([`abuse.unblocked ${CLIENT}`, "abuse.blocked 127.0.0.7"])
  const page = await (await b.admin("/metrics")).text()
  expect(page).toContain('gatehouse_blocks_total{reason="not_found"} 0')
  expect(page).toMatch(/gatehouse_block_sync_total\{result="heard"\} [1-9]/)
})

test("[T-5.5] a block, and its end, takes less than a second to the other gateway", async () => {
  const redis = await startRedis()
  const [a, b] = await Promise.all([startGateway(configOf(redis.url)), startGateway(configOf(redis.url))])
  const blocked = await quickest(3, async (i) => {
    await block(a, `127.0.1.${i}`, "1h")
    return comesToBe(b, `127.0.1.${i}`, true)
  })
  const ended = await quickest(3, async (i) => {
    await unblock(b, `127.0.1.${i}`)
    return comesToBe(a, `127.0.1.${i}`, false)
  })
  expect(blocked).toBeLessThan(1000)
  expect(ended).toBeLessThan(1000)
})

test("[F-40] blocks outlast the restart of a gateway, and with Redis killed and back those of both hold at both", async () => {
  const redis = await startRedis()
  const config = configOf(redis.url)
  const [a, first] = await Promise.all([startGateway(config), startGateway(config)])
  await block(first, CLIENT, "1h")
  await comesToBe(a, CLIENT, true)
  first.signal("SIGKILL")
  await first.exited
  const b = await startGateway(config)
  // From the first answer on.
  expect(await isBlocked(b, CLIENT, true)).toBe(true)
  await redis.kill()
  await block(a, "127.0.0.8", "1h")
  await block(b, "127.0.0.9", "1h")
  await unblock(b, CLIENT)
  expect(await isBlocked(a, CLIENT, true)).toBe(true)
  expect(await isBlocked(b, "127.0.0.8", false)).toBe(true)
  await redis.start()
  await comesToBe(b, "127.0.0.8", true)
  await comesToBe(a, "127.0.0.9", true)
  await comesToBe(a, CLIENT, false)
})
