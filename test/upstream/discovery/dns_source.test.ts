import { afterEach, expect, test } from "bun:test"
import { DnsSource } from "../../../src/upstream/discovery/dns_source.ts"
import { createDnsClient, type DnsClient, type SrvRecord } from "../../../src/upstream/discovery/resolver.ts"
import type { DnsConfig } from "../../../src/upstream/discovery/settings.ts"
import type { FoundInstance } from "../../../src/upstream/discovery/source.ts"
import { type DnsServer, startDnsServer } from "../../support/dns_server.ts"
import { FakeTime } from "../../support/fake_time.ts"
import { memoryLog } from "../../support/memory_log.ts"

const open: { close(): void }[] = []
afterEach(() => {
  for (const each of open.splice(0)) each.close()
})

const CONFIG: DnsConfig = { name: "app.test", type: "A", port: 8000, refresh: 30_000, stale: 3_600_000 }

/** A source with a name server of the test's own; `random`: share of the jitter. */
function start(client: DnsClient, config: Partial<DnsConfig> = {}, { tls = false, random = 0 } = {}) {
  const time = new FakeTime()
  const log = memoryLog()
  const told: (readonly FoundInstance[])[] = []
  let failed = 0
  const source = new DnsSource({
    service: "app",
    config: { ...CONFIG, ...config },
    tls,
    client,
    now: time.now,
    random: () => random,
    after: time.after,
    log,
    onFailed: () => failed++,
  })
  source.start((services) => told.push(services[0]!.instances))
  open.push(source)
  return {
    time,
    log,
    told,
    urls: () => told.at(-1)?.map(({ url }) => url),
    failed: () => failed,
    /** Moves the time and lets lookups end. */
    async pass(ms: number) {
      time.pass(ms)
      await settle()
    },
  }
}

const settle = async () => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

/** Answers in turn; the last again and again. `undefined`: the name server fails. */
function scripted(...answers: ({ addresses: string[]; ttlMs: number } | undefined)[]) {
  let asked = 0
  const client: DnsClient = {
    addresses: async () => {
      const answer = answers[Math.min(asked++, answers.length - 1)]
      if (answer === undefined) throw new Error("SERVFAIL")
      return answer
    },
    srv: async () => [],
  }
  return { client, asked: () => asked }
}

test("[T-1.4] every address of a name is an instance, and another answer is told when the TTL is over", async () => {
  const { client, asked } = scripted(
    { addresses: ["10.0.0.2", "10.0.0.1"], ttlMs: 5000 },
    { addresses: ["10.0.0.3"], ttlMs: 5000 },
  )
  const one = start(client)
  await settle()
  expect(one.urls()).toEqual(["http://10.0.0.1:8000", "http://10.0.0.2:8000"])
  await one.pass(4999)
  expect(asked()).toBe(1)
  await one.pass(1)
  expect(one.urls()).toEqual(["http://10.0.0.3:8000"])
})

test("[T-1.4] the same answer in another order is told once", async () => {
  const { client, asked } = scripted(
    { addresses: ["10.0.0.1", "10.0.0.2"], ttlMs: 1000 },
    { addresses: ["10.0.0.2", "10.0.0.1"], ttlMs: 1000 },
  )
  const one = start(client)
  await settle()
  await one.pass(1000)
  expect(asked()).toBe(2)
  expect(one.told.length).toBe(1)
})

test("[F-38] a TTL of 0 is asked for once a second, one of a day once an hour, and jitter only adds", async () => {
  const short = scripted({ addresses: ["10.0.0.1"], ttlMs: 0 })
  const one = start(short.client, {}, { random: 0.999 })
  await settle()
  await one.pass(1099)
  expect(short.asked()).toBe(1)
  await one.pass(1)
  expect(short.asked()).toBe(2)
  const long = scripted({ addresses: ["10.0.0.1"], ttlMs: 86_400_000 })
  const other = start(long.client)
  await settle()
  await other.pass(3_599_999)
  expect(long.asked()).toBe(1)
  await other.pass(1)
  expect(long.asked()).toBe(2)
})

test("[F-38] while the name server fails, what was found last stays for `stale`, is told of once and asked for less and less", async () => {
  const { client, asked } = scripted({ addresses: ["10.0.0.1"], ttlMs: 1000 }, undefined)
  const one = start(client, { stale: 60_000 })
  await settle()
  await one.pass(1000)
  expect(one.failed()).toBe(1)
  for (const wait of [1000, 2000, 4000, 8000, 16_000]) await one.pass(wait)
  expect(asked()).toBe(7)
  expect(one.urls()).toEqual(["http://10.0.0.1:8000"])
  await one.pass(30_000)
  expect(one.urls()).toEqual([])
  const events = one.log.events.map(({ event }) => event)
  expect(events).toEqual(["discovery.failing"])
})

test("[F-38] a name server that is back is believed at once", async () => {
  const { client } = scripted({ addresses: ["10.0.0.1"], ttlMs: 1000 }, undefined, {
    addresses: ["10.0.0.9"],
    ttlMs: 1000,
  })
  const one = start(client)
  await settle()
  await one.pass(1000)
  await one.pass(1000)
  expect(one.urls()).toEqual(["http://10.0.0.9:8000"])
  expect(one.log.events.map(({ event }) => event)).toEqual(["discovery.failing", "discovery.recovered"])
})

test("[F-38] a lookup that takes long is waited for: there is never a second one beside it", async () => {
  let asked = 0
  const client: DnsClient = {
    addresses: () => {
      asked++
      return new Promise(() => undefined)
    },
    srv: async () => [],
  }
  const one = start(client)
  await one.pass(3_600_000)
  expect(asked).toBe(1)
})

const srv = (name: string, port: number, weight: number, priority = 10): SrvRecord => ({
  name,
  port,
  weight,
  priority,
})

function srvClient(records: () => readonly SrvRecord[], addresses: Record<string, string[]>): DnsClient {
  return {
    srv: async () => records(),
    addresses: async (name, type) => {
      const found = (addresses[name] ?? []).filter((each) => each.includes(":") === (type === "AAAA"))
      if (found.length === 0) throw new Error(`${name} has no ${type}`)
      return { addresses: found, ttlMs: 1000 }
    },
  }
}

test("[T-1.4] SRV records give ports and weights, those of the lowest priority alone, every `refresh`", async () => {
  let records = [srv("a.test", 8001, 30), srv("b.test", 8002, 10), srv("c.test", 8003, 99, 20)]
  const one = start(
    srvClient(() => records, { "a.test": ["10.0.0.1"], "b.test": ["fd00::2"], "c.test": ["10.0.0.3"] }),
    {
      type: "SRV",
    },
  )
  await settle()
  expect(one.told[0]!.map(({ url, weight }) => [url, weight])).toEqual([
    ["http://10.0.0.1:8001", 30],
    ["http://[fd00::2]:8002", 10],
  ])
  records = records.slice(2)
  await one.pass(29_999)
  expect(one.told.length).toBe(1)
  await one.pass(1)
  expect(one.urls()).toEqual(["http://10.0.0.3:8003"])
})

test("[T-1.4] weights beyond 256 keep their proportions, a weight of 0 gets a little, and the target . is none", async () => {
  const records = [srv("a.test", 1, 65_535), srv("a.test", 2, 32_768), srv("a.test", 3, 0)]
  const one = start(
    srvClient(() => records, { "a.test": ["10.0.0.1"] }),
    { type: "SRV" },
  )
  await settle()
  expect(one.told[0]!.map(({ weight }) => weight)).toEqual([256, 128, 1])
  const none = start(
    srvClient(() => [srv("", 0, 0)], {}),
    { type: "SRV" },
  )
  await settle()
  expect(none.told).toEqual([[]])
})

test("[F-38] a target of SRV records that cannot be looked up for once keeps its addresses", async () => {
  const addresses: Record<string, string[]> = { "a.test": ["10.0.0.1"], "b.test": ["10.0.0.2"] }
  const records = [srv("a.test", 1, 1), srv("b.test", 1, 1)]
  const one = start(
    srvClient(() => records, addresses),
    { type: "SRV" },
  )
  await settle()
  delete addresses["a.test"]
  addresses["b.test"] = ["10.0.0.3"]
  await one.pass(30_000)
  expect(one.urls()).toEqual(["http://10.0.0.1:1", "http://10.0.0.3:1"])
})

test("[T-1.4] instances of a service with a section tls are asked by https", async () => {
  const { client } = scripted({ addresses: ["10.0.0.1"], ttlMs: 1000 })
  const one = start(client, {}, { tls: true })
  await settle()
  expect(one.urls()).toEqual(["https://10.0.0.1:8000"])
})

async function startServer(): Promise<DnsServer> {
  const server = await startDnsServer()
  open.push(server)
  return server
}

test("[T-1.4] the name servers of config are asked for A, AAAA and SRV records, and say how long they hold", async () => {
  const server = await startServer()
  server.records.set("app.test", [
    { type: "A", address: "10.1.2.3", ttl: 7 },
    { type: "A", address: "10.1.2.4", ttl: 5 },
    { type: "AAAA", address: "fd00::7", ttl: 9 },
  ])
  server.records.set("_http._tcp.app.test", [
    { type: "SRV", priority: 1, weight: 5, port: 8080, target: "app.test", ttl: 60 },
  ])
  const client = createDnsClient([server.address])
  const four = await client.addresses("app.test", "A")
  expect([[...four.addresses].sort(), four.ttlMs]).toEqual([["10.1.2.3", "10.1.2.4"], 5000])
  expect(await client.addresses("app.test", "AAAA")).toEqual({ addresses: ["fd00::7"], ttlMs: 9000 })
  expect(await client.srv("_http._tcp.app.test")).toMatchObject([
    { name: "app.test", port: 8080, priority: 1, weight: 5 },
  ])
})

test("[F-38] NXDOMAIN and SERVFAIL are errors that name the name; the next question goes to the server again", async () => {
  const server = await startServer()
  const client = createDnsClient([server.address])
  await expect(client.addresses("gone.test", "A")).rejects.toThrow("gone.test")
  server.records.set("app.test", [{ type: "A", address: "10.1.2.3", ttl: 3600 }])
  expect((await client.addresses("app.test", "A")).addresses).toEqual(["10.1.2.3"])
  server.records.set("app.test", [{ type: "A", address: "10.1.2.9", ttl: 3600 }])
  expect((await client.addresses("app.test", "A")).addresses).toEqual(["10.1.2.9"])
  server.mode = "fail"
  await expect(client.addresses("app.test", "A")).rejects.toThrow("app.test")
})
