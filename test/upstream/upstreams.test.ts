import { afterEach, describe, expect, test } from "bun:test"
import { now } from "../../src/lib/clock.ts"
import { touchService } from "../../src/upstream/candidates.ts"
import { describeServices } from "../../src/upstream/describe.ts"
import { forward } from "../../src/upstream/forward.ts"
import { createUpstreamMemory } from "../../src/upstream/memory.ts"
import { SlotDirectory } from "../../src/upstream/slots.ts"
import { Upstreams } from "../../src/upstream/upstreams.ts"
import { readBody } from "../support/bodies.ts"
import { makeExchange } from "../support/exchange.ts"
import { RawUpstream } from "../support/raw_upstream.ts"
import { seededRandom, serviceConfig } from "../support/services.ts"

const open: { close(): void }[] = []
afterEach(() => {
  for (const one of open.splice(0)) one.close()
})

function make() {
  const memory = createUpstreamMemory(1)
  const directory = new SlotDirectory(memory, now)
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const upstreams = new Upstreams(memory, 0, { now, random: seededRandom(), log })
  open.push(upstreams)
  const apply = (files: Record<string, object>) => {
    const configs = Object.fromEntries(
      Object.entries(files).map(([name, file]) => [name, serviceConfig(file)]),
    )
    const slots = directory.assign(configs)
    return { services: upstreams.apply(configs, slots), configs, slots }
  }
  return { memory, upstreams, apply }
}

const A = "http://127.0.0.1:1"
const B = "http://127.0.0.1:2"

describe("[F-47] a reload", () => {
  test("keeps an instance and its connections while its service, URL and pool stay the same", () => {
    const { apply } = make()
    const before = apply({ s: { instances: [A, B] } }).services.get("s")!
    const after = apply({
      s: { instances: [{ url: B, weight: 3 }], timeout: "1s", balance: "hash" },
    }).services.get("s")!
    expect(after.instances).toEqual([before.instances[1]!])
    expect(after.instances[0]).toBe(before.instances[1]!)
    expect(after.members[0]!.weight).toBe(3)
    const repooled = apply({ s: { instances: [B], pool: { max_connections: 3 } } }).services.get("s")!
    expect(repooled.instances[0]).not.toBe(after.instances[0]!)
    expect(repooled.instances[0]!.state.availableSince).toBe(after.instances[0]!.state.availableSince)
  })

  test("lets requests that hold the older config reach an instance that is gone from the new one", async () => {
    const one = new RawUpstream((connection) =>
      connection.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab"),
    )
    open.push({ close: () => one.stop() })
    const { apply, upstreams } = make()
    const old = apply({ s: { instances: [one.url] } }).services.get("s")!
    apply({ s: { instances: [A] } })
    const forwarded = await forward(makeExchange(), old, 1000)
    if (forwarded.kind !== "answer") throw new Error(forwarded.kind)
    upstreams.close()
    one.last.write("cd")
    expect(await readBody(forwarded.answer.body)).toBe("abcd")
  })

  test("that cannot work changes nothing", () => {
    const { apply, upstreams } = make()
    const before = apply({ s: { instances: [A] } })
    const bad = serviceConfig({ instances: [A], tls: { ca: "/nonexistent/ca.pem" } })
    expect(() => upstreams.apply({ s: bad }, before.slots)).toThrow(/services\.s\.tls\.ca/)
    const after = upstreams.apply(before.configs, before.slots).get("s")!
    expect(after.instances[0]).toBe(before.services.get("s")!.instances[0]!)
  })
})

test("[T-6.5] [C-8.8] the view of services tells health, ejection and circuit from shared memory", () => {
  const { apply, memory } = make()
  const { services, configs, slots } = apply({
    s: { instances: [A, B], breaker: { failure_threshold: 1, min_throughput: 1 } },
    t: { instances: [A] },
  })
  const view = (at: number) => describeServices(memory, configs, slots, at)
  expect(view(5000).map(({ status }) => status)).toEqual(["healthy", "healthy"])
  const { members, breaker } = services.get("s")!
  members[0]!.state.eject(9000, 1)
  members[1]!.state.begin(0)
  expect(view(5000)[0]).toMatchObject({
    status: "degraded",
    breaker: { state: "closed" },
    instances: [
      { url: A, healthy: true, ejectedForMs: 4000, inFlight: 0 },
      { url: B, healthy: true, ejectedForMs: 0, inFlight: 1 },
    ],
  })
  const permit = breaker!.acquire(6000)
  if (typeof permit === "object") throw new Error("refused")
  breaker!.record(permit, "failure", 6000)
  expect(view(6001)[0]).toMatchObject({ status: "down", breaker: { state: "open", retryAfterMs: 59_999 } })
  expect(view(6001)[1]).toMatchObject({ name: "t", status: "healthy", breaker: undefined })
})

test("[T-6.1] an instance that comes back within a minute has its connections still, and none is left over", () => {
  const { apply, upstreams } = make()
  const first = apply({ s: { instances: [A, B] } }).services.get("s")!
  for (let round = 0; round < 5; round++) {
    apply({ s: { instances: [B] } })
    // Who has left is no series of anybody.
    expect([...upstreams.instances()].map(({ url }) => url)).toEqual([B])
    apply({ s: { instances: [A, B] } })
  }
  const last = apply({ s: { instances: [A, B] } }).services.get("s")!
  expect(last.instances[0]).toBe(first.instances[0]!)
  expect([...upstreams.instances()].length).toBe(2)
})

test("[T-6.1] one service compiled anew leaves the others as they are", () => {
  const { apply, upstreams } = make()
  const { services, configs, slots } = apply({ s: { instances: [A] }, t: { instances: [A, B] } })
  const updated = upstreams.update({ t: configs.t! }, slots)
  expect([...updated.keys()]).toEqual(["t"])
  expect(updated.get("t")!.instances).toEqual([...services.get("t")!.instances])
  expect([...upstreams.instances()].length).toBe(3)
})

test("[T-6.1] who is draining gets nothing new, even where all others are out", () => {
  const { apply, memory } = make()
  const { services, slots } = apply({ s: { instances: [A, B] } })
  const [one, other] = services.get("s")!.members
  one!.state.setDraining(true)
  other!.state.setHealth(false, 0)
  touchService(memory, slots.services.s!)
  // One of one is out: that is a panic, in which all are asked but who is draining.
  expect(services.get("s")!.candidates.at(now()).list).toEqual([other!])
  other!.state.setDraining(true)
  touchService(memory, slots.services.s!)
  expect(services.get("s")!.candidates.at(now()).list).toEqual([])
})

test("[F-38] [F-69] a name a source has found leads to this machine only where discovery.allow says so", async () => {
  const one = new RawUpstream((connection) =>
    connection.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
  )
  open.push({ close: () => one.stop() })
  const memory = createUpstreamMemory(1)
  const told: unknown[] = []
  const log = { debug() {}, info() {}, warn() {}, error: (event: string) => void told.push(event) }
  const upstreams = new Upstreams(memory, 0, {
    now,
    random: seededRandom(),
    log,
    lookUp: async () => ["127.0.0.1"],
  })
  open.push(upstreams)
  const url = `http://rebound.test:${new URL(one.url).port}`
  const found = { source: "registry", zone: "", tags: [] }
  const config = { ...serviceConfig({ instances: [A] }), instances: [{ url, weight: 1, found }] }
  const slots = new SlotDirectory(memory, now).assign({ s: config })
  const refused = await forward(makeExchange(), upstreams.apply({ s: config }, slots).get("s")!, 1000)
  expect(refused.kind).toBe("unreachable")
  expect(told).toEqual(["instance.address_refused"])
  const allowed = upstreams.apply({ s: config }, slots, ["127.0.0.0/8"]).get("s")!
  expect((await forward(makeExchange(), allowed, 1000)).kind).toBe("answer")
})
