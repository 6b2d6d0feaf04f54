import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { servicesTable } from "../../src/cli/services.ts"
import { Elsewhere, withElsewhere } from "../../src/gateway/elsewhere.ts"
import { openRedis, type Redis } from "../../src/store/redis.ts"
import { toRedisSettings } from "../../src/store/redis_settings.ts"
import { SHARE_TROUBLES } from "../../src/store/trouble_script.ts"
import type { ServiceView } from "../../src/upstream/describe.ts"
import { instanceView } from "../support/instance_view.ts"
import { memoryLog } from "../support/memory_log.ts"
import { endRedis, startRedis } from "../support/redis.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(20_000)

const open: Redis[] = []
afterEach(async () => {
  for (const redis of open.splice(0)) redis.close()
  await endRedis()
})

const KEY = "{gatehouse:troubles}"
const INSTANCE = "http://10.0.0.1:8001"

function viewOf(
  instance: Partial<ServiceView["instances"][number]> = {},
  state: "closed" | "open" | "half_open" = "closed",
): ServiceView {
  return {
    name: "context",
    status: "healthy",
    own: "healthy",
    chain: [],
    dependsOn: [],
    breaker: { state, requests: 0, failures: 0, retryAfterMs: 0 },
    instances: [instanceView(INSTANCE, instance)],
  }
}

async function start(url: string, gateway: string) {
  const settings = toRedisSettings(url)
  if (typeof settings === "string") throw new Error(settings)
  const deps = { log: memoryLog(), random: Math.random, onUp: () => undefined }
  const redis = await openRedis(settings, [SHARE_TROUBLES], deps)
  open.push(redis)
  await until(() => redis.connected, "Redis")
  const state = { services: [viewOf()], ms: 0 }
  const elsewhere = new Elsewhere({
    redis,
    gateway,
    services: () => state.services,
    now: () => state.ms,
    after: () => () => undefined,
  })
  return { elsewhere, state }
}

test("[T-6.3] [S-FR3.2] what is out of order at other gateways shows here, and how many see it so", async () => {
  const { url } = await startRedis()
  const [a, b, c] = [await start(url, "a"), await start(url, "b"), await start(url, "c")]
  b.state.services = [viewOf({ ejectedForMs: 900 }, "open")]
  c.state.services = [viewOf({ ejectedForMs: 10, draining: true, healthy: false }, "half_open")]
  for (const each of [b, c, a]) await each.elsewhere.round()
  const [shown] = withElsewhere(a.state.services, a.elsewhere) as [
    Parameters<typeof servicesTable>[0][number],
  ]
  expect(shown.elsewhere).toEqual({
    gateways: 2,
    troubles: expect.arrayContaining([
      { instance: "", state: "circuit_open", gateways: 1 },
      { instance: "", state: "circuit_half_open", gateways: 1 },
      { instance: INSTANCE, state: "ejected", gateways: 2 },
      { instance: INSTANCE, state: "draining", gateways: 1 },
      { instance: INSTANCE, state: "unhealthy", gateways: 1 },
    ]),
  })
  // It is advice: what this gateway thinks of them is as it was.
  expect(shown).toMatchObject({ status: "healthy", instances: [{ healthy: true, draining: false }] })
  expect(servicesTable([shown])).toContain("ejected at 2 of 2")
})

test("[T-6.4] what is in order again no longer shows, and what is not told again fades", async () => {
  const { url } = await startRedis()
  const [a, b] = [await start(url, "a"), await start(url, "b")]
  b.state.services = [viewOf({ draining: true })]
  await b.elsewhere.round()
  await a.elsewhere.round()
  expect(a.elsewhere.view().services.size).toBe(1)
  a.state.ms += 4900
  expect(a.elsewhere.view().services.size).toBe(1)
  a.state.ms += 200
  expect(a.elsewhere.view()).toEqual({ gateways: 0, services: new Map() })
  b.state.services = [viewOf()]
  await b.elsewhere.round()
  await a.elsewhere.round()
  expect(a.elsewhere.view()).toEqual({ gateways: 1, services: new Map() })
})

test("[T-6.3] a gateway that is gone is forgotten, and what others write there is checked", async () => {
  const redis = await startRedis()
  const a = await start(redis.url, "a")
  const now = Number((await redis.client.time())[0]) * 1000
  const text = JSON.stringify({ troubles: [{ service: "context", instance: INSTANCE, state: "ejected" }] })
  await redis.client.hset(KEY, {
    gone: `${now - 60_000} ${text}`,
    garbage: "garbage",
    shape: `${now} {"troubles":[{"service":"context"}]}`,
    state: `${now} ${text.replace("ejected", "on fire")}`,
    lines: `${now} ${text.replace(INSTANCE, "a\\nb")}`,
    good: `${now} ${text}`,
  })
  await a.elsewhere.round()
  expect(a.elsewhere.view()).toEqual({
    gateways: 1,
    services: new Map([["context", [{ instance: INSTANCE, state: "ejected", gateways: 1 }]]]),
  })
  expect((await redis.client.hkeys(KEY)).sort()).toEqual(["a", "good", "lines", "shape", "state"])
})

test("[T-6.3] with Redis away what was heard fades and nothing breaks", async () => {
  const redis = await startRedis()
  const [a, b] = [await start(redis.url, "a"), await start(redis.url, "b")]
  b.state.services = [viewOf({ ejectedForMs: 1 })]
  await b.elsewhere.round()
  await a.elsewhere.round()
  await redis.kill()
  await a.elsewhere.round()
  expect(a.elsewhere.view().gateways).toBe(1)
  a.state.ms += 6000
  expect(a.elsewhere.view().gateways).toBe(0)
})
