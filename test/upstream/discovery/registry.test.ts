import { expect, test } from "bun:test"
import {
  MAX_INSTANCES_EACH,
  MAX_REGISTERED_SERVICES,
  Registry,
} from "../../../src/upstream/discovery/registry.ts"
import { MAX_EVENTS } from "../../../src/upstream/discovery/registry_events.ts"
import type { FoundService } from "../../../src/upstream/discovery/source.ts"
import { FakeTime } from "../../support/fake_time.ts"
import { registered } from "../../support/registered.ts"

function open() {
  const time = new FakeTime()
  const events: string[] = []
  const told: (readonly FoundService[])[] = []
  const registry = new Registry({
    now: time.now,
    epoch: "a1",
    onEvent: (type, instance) => events.push(`${type} ${instance.url}`),
  })
  registry.start((services) => told.push(services))
  return { time, registry, events, told }
}

test("[T-1.4] an instance that registers is told as found, and no more when it deregisters", () => {
  const { registry, told } = open()
  const instance = registered({ check_endpoint: "/health", depends_on: ["users"] })
  expect(registry.register(instance).kind).toBe("created")
  expect(told.at(-1)).toEqual([
    {
      name: "context",
      instances: [{ url: "http://10.0.0.1:8001", weight: 1, zone: "", tags: [], draining: false }],
      dependsOn: [{ service: "users", kind: "hard" }],
      check: { path: "/health", interval: 10_000 },
    },
  ])
  registry.deregister("context", instance.id)
  expect(told.at(-1)).toEqual([])
  expect(told).toHaveLength(2)
})

test("[T-1.4] to register again changes the instance, and says nothing when it is the same", () => {
  const { registry, told, events } = open()
  registry.register(registered())
  expect(registry.register(registered({}, { at: 2000 })).kind).toBe("updated")
  expect(told).toHaveLength(1)
  registry.register(registered({ weight: 3 }))
  expect(told.at(-1)![0]!.instances).toMatchObject([{ weight: 3 }])
  // Sources do not tell versions, watchers do.
  registry.register(registered({ weight: 3, version: "2" }))
  expect(told).toHaveLength(2)
  expect(events).toEqual(["registered", "changed", "changed"].map((type) => `${type} http://10.0.0.1:8001`))
})

test("[T-1.4] an instance without heartbeat leaves when its TTL ends, and not before", () => {
  const { registry, time } = open()
  const instance = registered({ ttl: 10 })
  registry.register(instance)
  time.pass(9999)
  expect(registry.expire("alone")).toEqual([])
  registry.heartbeat("context", instance.id)
  time.pass(9999)
  expect(registry.expire("alone")).toEqual([])
  time.pass(1)
  expect(registry.expire("alone")).toEqual([instance])
  expect(registry.heartbeat("context", instance.id)).toBeUndefined()
})

test("[T-1.4] an instance that is checked and has no TTL stays", () => {
  const { registry, time } = open()
  registry.register(registered({ check_endpoint: "/health" }))
  time.pass(365 * 86_400_000)
  expect(registry.expire("alone")).toEqual([])
})

test("[T-1.4] while Redis decides, no TTL ends here; while it is away, only those of instances known here alone", () => {
  const { registry, time } = open()
  const own = registered({ port: 1, ttl: 10 })
  const shared = registered({ port: 2, ttl: 10 })
  const others = registered({ port: 3, ttl: 10 })
  registry.register(own)
  registry.register(shared)
  registry.take(shared, false)
  registry.take(others, false)
  time.pass(60_000)
  expect(registry.expire("shared")).toEqual([])
  expect(registry.expire("cut_off")).toEqual([own])
  expect([...registry.instances()]).toEqual([shared, others])
})

test("[T-1.4] a drained instance stays drained when it registers again, until it is taken back", () => {
  const { registry, told, events } = open()
  const instance = registered()
  registry.register(instance)
  expect(registry.drain("context", instance.id, true)?.draining).toBe(true)
  registry.drain("context", instance.id, true)
  registry.register(registered({ weight: 2 }))
  expect(told.at(-1)![0]!.instances).toMatchObject([{ draining: true, weight: 2 }])
  registry.drain("context", instance.id, false)
  expect(told.at(-1)![0]!.instances).toMatchObject([{ draining: false }])
  expect(events.map((each) => each.split(" ")[0]!)).toEqual([
    "registered",
    "draining",
    "changed",
    "undrained",
  ])
})

test("[T-1.4] a service may have so many instances, and then no more", () => {
  const { registry } = open()
  registry.hold(() => {
    for (let i = 1; i <= MAX_INSTANCES_EACH; i++) registry.register(registered({ port: i }))
  })
  expect(registry.register(registered({ port: 9999 })).kind).toBe("full")
  expect(registry.register(registered({ port: 7, weight: 9 })).kind).toBe("updated")
  registry.take(registered({ port: 9998 }), false)
  expect(registry.instancesOf("context")).toHaveLength(MAX_INSTANCES_EACH)
})

test("[T-1.4] there may be so many services, and then no more", () => {
  const { registry } = open()
  registry.hold(() => {
    for (let i = 0; i < MAX_REGISTERED_SERVICES; i++) registry.register(registered({ service_name: `s${i}` }))
  })
  expect(registry.register(registered({ service_name: "one-more" })).kind).toBe("full")
  expect(registry.register(registered({ service_name: "s1", port: 2 })).kind).toBe("created")
})

test("[T-1.4] of several instances the one that came last says what the service needs, on all gateways alike", () => {
  const first = registered({ port: 1, depends_on: ["a"] }, { at: 1 })
  const second = registered({ port: 2, depends_on: ["b"] }, { at: 2 })
  for (const order of [
    [first, second],
    [second, first],
  ]) {
    const { registry, told } = open()
    for (const each of order) registry.register(each)
    expect(told.at(-1)![0]!.dependsOn).toEqual([{ service: "b", kind: "hard" }])
  }
})

test("[T-1.4] whoever comes back to its place gets what it missed, and nothing of another run", () => {
  const { registry } = open()
  const { events } = registry
  const start = events.place
  registry.register(registered())
  const middle = events.place
  registry.drain("context", registered().id, true)
  expect(events.since(start)?.map(({ type }) => type)).toEqual(["registered", "draining"])
  expect(events.since(middle)?.map(({ type }) => type)).toEqual(["draining"])
  expect(events.since(events.place)).toEqual([])
  for (const place of ["b2-0", "a1-99", "a1--1", "a1-", "x", "", "a1-1e3", "a1-01x"])
    expect(events.since(place)).toBeUndefined()
})

test("[T-1.4] a place that is too old is not known any more, and no more is kept than is needed", () => {
  const { registry } = open()
  const { events } = registry
  const start = events.place
  const { id } = registered()
  registry.register(registered())
  for (let i = 0; i < 3 * MAX_EVENTS; i++) registry.drain("context", id, i % 2 === 0)
  expect(events.since(start)).toBeUndefined()
  expect(events.since(`a1-${1 + 3 * MAX_EVENTS - MAX_EVENTS}`)).toHaveLength(MAX_EVENTS)
})

test("[T-1.4] what is told by others at once is passed on at once", () => {
  const { registry, told } = open()
  registry.hold(() => {
    for (let port = 1; port <= 50; port++) registry.take(registered({ port }), false)
  })
  expect(told).toHaveLength(1)
  expect(told[0]![0]!.instances).toHaveLength(50)
})

test("[T-1.4] after close nothing is told", () => {
  const { registry, told } = open()
  registry.close()
  registry.register(registered())
  expect(told).toEqual([])
})
