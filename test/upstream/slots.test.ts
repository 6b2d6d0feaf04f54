import { expect, test } from "bun:test"
import { InstanceState } from "../../src/upstream/instance_state.ts"
import { clearWorker, createUpstreamMemory, MAX_SERVICES } from "../../src/upstream/memory.ts"
import { instanceKey, SlotDirectory } from "../../src/upstream/slots.ts"
import { serviceConfig } from "../support/services.ts"

const A = "http://127.0.0.1:1"
const B = "http://127.0.0.1:2"

test("an instance keeps its record over reloads, whatever else changes", () => {
  const directory = new SlotDirectory(createUpstreamMemory(1), () => 0)
  const first = directory.assign({
    s: serviceConfig({ instances: [A, B] }),
    t: serviceConfig({ instances: [A] }),
  })
  const second = directory.assign({ s: serviceConfig({ instances: [{ url: B, weight: 9 }] }) })
  const key = instanceKey("s", B)
  expect(second.instances[key]).toBe(first.instances[key]!)
  expect(second.services.s).toBe(first.services.s!)
  expect(Object.keys(second.instances)).toEqual([key])
  expect(first.instances[instanceKey("s", A)]).not.toBe(first.instances[instanceKey("t", A)]!)
})

test("an instance that comes back begins anew", () => {
  const memory = createUpstreamMemory(1)
  const directory = new SlotDirectory(memory, () => 5)
  const both = { s: serviceConfig({ instances: [A, B] }) }
  const key = instanceKey("s", A)
  new InstanceState(memory, directory.assign(both).instances[key]!).setHealth(false, 1)
  directory.assign({ s: serviceConfig({ instances: [B] }) })
  const state = new InstanceState(memory, directory.assign(both).instances[key]!)
  expect(state.healthy).toBe(true)
  expect(state.availableSince).toBe(5)
})

test("records run out with an error that says how many fit, and nothing is lost", () => {
  const directory = new SlotDirectory(createUpstreamMemory(1), () => 0)
  const config = serviceConfig({ instances: [A] })
  const kept = directory.assign({ s: config })
  const many = Object.fromEntries(Array.from({ length: MAX_SERVICES + 1 }, (_, i) => [`s${i}`, config]))
  expect(() => directory.assign(many)).toThrow(/1025 services are configured; at most 1024 fit/)
  expect(directory.assign({ s: config })).toEqual(kept)
  for (let round = 0; round < 5; round++)
    directory.assign(Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`r${round}-${i}`, config])))
})

test("[F-47] an assignment that is taken back leaves every record where and as it was", () => {
  const memory = createUpstreamMemory(1)
  const directory = new SlotDirectory(memory, () => 5)
  const both = { s: serviceConfig({ instances: [A, B] }), t: serviceConfig({ instances: [A] }) }
  const before = directory.assign(both)
  const state = new InstanceState(memory, before.instances[instanceKey("t", A)]!)
  state.setHealth(false, 1)
  const other = directory.assign({
    s: serviceConfig({ instances: [B] }),
    u: serviceConfig({ instances: [A] }),
  })
  directory.restore(before)
  expect(directory.assign(both)).toEqual(before)
  expect(state.healthy).toBe(false)
  // What only the other one had is free again, and nothing is given out twice.
  const all = directory.assign({ ...both, u: serviceConfig({ instances: [A] }) })
  expect(new Set(Object.values(all.instances)).size).toBe(4)
  expect(other.services.u).not.toBe(before.services.t!)
})

test("the requests in flight of a dead worker are taken back, those of the others stay", () => {
  const memory = createUpstreamMemory(3)
  const states = [0, 4095].map((slot) => new InstanceState(memory, slot))
  for (const state of states) for (const worker of [0, 1, 1, 2]) state.begin(worker)
  clearWorker(memory, 1)
  expect(states.map((state) => state.inFlight)).toEqual([2, 2])
  clearWorker(memory, 1)
  states[0]!.end(0)
  expect(states[0]!.inFlight).toBe(1)
})

test("[T-6.1] an instance that comes back has its own record again, and the requests in flight it had", () => {
  const memory = createUpstreamMemory(1)
  const directory = new SlotDirectory(memory, () => 5)
  const both = { s: serviceConfig({ instances: [A, B] }) }
  const key = instanceKey("s", A)
  const slot = directory.assign(both).instances[key]!
  const before = new InstanceState(memory, slot)
  before.begin(0)
  before.setDraining(true)
  before.eject(1000, 1)
  const generation = before.ejectionGeneration
  directory.assign({ s: serviceConfig({ instances: [B] }) })
  expect(directory.assign(both).instances[key]).toBe(slot)
  const after = new InstanceState(memory, slot)
  expect([after.inFlight, after.draining, after.ejectedUntil]).toEqual([1, false, 0])
  expect(after.ejectionGeneration).not.toBe(generation)
  after.end(0)
  expect(after.inFlight).toBe(0)
})
