import { expect, test } from "bun:test"
import { DiscoveryKeeper } from "../../src/gateway/discovery_keeper.ts"
import { Counts } from "../../src/observe/counts.ts"
import type { DiscoverySource, FoundService } from "../../src/upstream/discovery/source.ts"
import { instanceKey } from "../../src/upstream/slots.ts"
import { exampleConfig } from "../support/config.ts"
import { FakeTime } from "../support/fake_time.ts"
import { memoryLog } from "../support/memory_log.ts"

const A = "http://10.0.0.1:80"

class TestSource implements DiscoverySource {
  readonly name = "registry"
  changed: (services: readonly FoundService[]) => void = () => undefined
  closed = false

  start(changed: (services: readonly FoundService[]) => void): void {
    this.changed = changed
  }

  close(): void {
    this.closed = true
  }

  tell(...urls: string[]): void {
    const instances = urls.map((url) => ({ url, weight: 1, zone: "", tags: [], draining: false }))
    this.changed([{ name: "s", instances, dependsOn: [], check: undefined }])
  }
}

const CONFIG = exampleConfig({ services: { s: { instances: [A], discover: { registry: true } } } })

function make() {
  const time = new FakeTime()
  const source = new TestSource()
  const log = memoryLog()
  let applied = 0
  let done: () => void = () => undefined
  let hold = false
  const keeper = new DiscoveryKeeper({
    registry: source,
    plan: () => [],
    onChange: () => {
      applied++
      return hold ? new Promise((resolve) => (done = resolve)) : Promise.resolve()
    },
    now: time.now,
    after: time.after,
    log,
    counts: new Counts(),
  })
  return {
    time,
    source,
    log,
    keeper,
    applied: () => applied,
    hold: () => void (hold = true),
    async pass(ms: number) {
      time.pass(ms)
      await settle()
    },
    async finish() {
      done()
      await settle()
    },
  }
}

const settle = async () => {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve()
}

test("[T-6.1] the first change is put in force at once, more of them at most every 100 ms", async () => {
  const { keeper, source, pass, applied } = make()
  await keeper.open(CONFIG, 1000)
  keeper.begin()
  source.tell("http://10.0.0.2:80")
  await pass(0)
  expect(applied()).toBe(1)
  for (let i = 0; i < 50; i++) source.tell(`http://10.0.0.${i}:80`)
  await pass(99)
  expect(applied()).toBe(1)
  await pass(1)
  expect(applied()).toBe(2)
  await pass(10_000)
  expect(applied()).toBe(2)
})

test("[T-6.1] while one change is being put in force the next ones wait, and none is lost", async () => {
  const { keeper, source, pass, applied, hold, finish } = make()
  await keeper.open(CONFIG, 1000)
  keeper.begin()
  hold()
  source.tell("http://10.0.0.2:80")
  await pass(0)
  source.tell("http://10.0.0.3:80")
  await pass(5000)
  expect(applied()).toBe(1)
  await finish()
  await pass(100)
  expect(applied()).toBe(2)
})

test("[T-6.1] what was told before the workers began is put in force with them, and again only when it changes", async () => {
  const { keeper, source, pass, applied } = make()
  await keeper.open(CONFIG, 1000)
  source.tell("http://10.0.0.2:80")
  expect(keeper.effective(CONFIG).config.services.s!.instances.length).toBe(2)
  await pass(1000)
  expect(applied()).toBe(0)
  keeper.begin()
  await pass(0)
  expect(applied()).toBe(1)
})

test("[F-69] a refused address is told of once while it lasts", async () => {
  const { keeper, source, log } = make()
  await keeper.open(CONFIG, 1000)
  source.tell("http://127.0.0.1:80")
  keeper.effective(CONFIG)
  keeper.effective(CONFIG)
  expect(log.events.map(({ event }) => event)).toEqual(["discovery.refused"])
  source.tell()
  keeper.effective(CONFIG)
  source.tell("http://127.0.0.1:80")
  keeper.effective(CONFIG)
  expect(log.events.length).toBe(2)
})

test("[T-6.1] an operator drains an instance that is there, and takes that back", async () => {
  const { keeper } = make()
  await keeper.open(CONFIG, 1000)
  expect(keeper.drain(CONFIG.services, "s", "http://10.0.0.9:80", true)).toBe(false)
  expect(keeper.drain(CONFIG.services, "constructor", A, true)).toBe(false)
  expect(keeper.drain(CONFIG.services, "s", A, true)).toBe(true)
  expect(keeper.effective(CONFIG).draining).toEqual(new Set([instanceKey("s", A)]))
  expect(keeper.drain(CONFIG.services, "s", A, false)).toBe(true)
  expect(keeper.effective(CONFIG).draining.size).toBe(0)
})

test("[T-6.1] sources are closed with it, and say nothing any more", async () => {
  const { keeper, source, pass, applied } = make()
  await keeper.open(CONFIG, 1000)
  keeper.begin()
  keeper.close()
  expect(source.closed).toBe(true)
  source.tell("http://10.0.0.2:80")
  await pass(1000)
  expect(applied()).toBe(0)
})
