import { expect, test } from "bun:test"
import { HealthWatch } from "../../src/gateway/health_watch.ts"
import { Counts } from "../../src/observe/counts.ts"
import type { InstanceView, ServiceView } from "../../src/upstream/describe.ts"
import { FakeTime } from "../support/fake_time.ts"
import { instanceView } from "../support/instance_view.ts"
import { memoryLog } from "../support/memory_log.ts"

const service = (status: ServiceView["status"], instances: readonly InstanceView[]): ServiceView => ({
  name: "app",
  status,
  chain: status === "healthy" ? [] : ["app"],
  own: status,
  dependsOn: [],
  breaker: undefined,
  instances,
})

function watch(first: ServiceView) {
  const time = new FakeTime()
  const log = memoryLog()
  const counts = new Counts()
  let view = first
  const watcher = new HealthWatch({ services: () => [view], now: time.now, after: time.after, log, counts })
  watcher.start()
  return {
    watcher,
    log,
    counts,
    /** What is told when this is seen next. */
    see(next: ServiceView) {
      view = next
      const from = log.events.length
      time.pass(1000)
      return log.events.slice(from).map(({ event, fields }) => [event, fields.why])
    },
  }
}

test("[T-6.3] [T-6.4] why an instance is asked no more, and why it is again, is told once each", () => {
  const one = watch(service("healthy", [instanceView("a")]))
  const cases: [Partial<InstanceView>, string, string][] = [
    [{ healthy: false }, "unhealthy", "healthy"],
    [{ ejectedForMs: 500 }, "ejected", "returned"],
    [{ draining: true }, "draining", "undrained"],
  ]
  for (const [state, out, back] of cases) {
    expect(one.see(service("healthy", [instanceView("a", state)]))).toEqual([["instance.down", out]])
    expect(one.see(service("healthy", [instanceView("a", state)]))).toEqual([])
    expect(one.see(service("healthy", [instanceView("a")]))).toEqual([["instance.up", back]])
  }
  expect(one.see(service("healthy", []))).toEqual([["instance.down", "left"]])
  expect(one.see(service("healthy", [instanceView("a")]))).toEqual([["instance.up", "joined"]])
})

test("[T-6.3] [T-6.4] a service is degraded, down and recovered; what is not well at the start is told", () => {
  const one = watch(service("down", []))
  expect(one.log.events.map(({ event, level }) => [event, level])).toEqual([["service.down", "error"]])
  expect(one.see(service("degraded", []))).toEqual([["service.degraded", undefined]])
  expect(one.see(service("healthy", []))).toEqual([["service.recovered", undefined]])
  expect([...one.counts.rows()].map(({ labels, value }) => [labels.event, value])).toEqual([
    ["down", 1],
    ["degraded", 1],
    ["recovered", 1],
  ])
})

test("[T-6.3] hundreds of instances that flap are all counted, and told of in 20 lines a second", () => {
  const many = Array.from({ length: 500 }, (_, i) => instanceView(`i${i}`))
  const one = watch(service("healthy", many))
  expect(one.see(service("healthy", [])).length).toBe(20)
  expect([...one.counts.rows()]).toMatchObject([{ labels: { service: "app", event: "down" }, value: 500 }])
  expect(one.see(service("healthy", many)).length).toBe(20)
  expect(one.log.events[20]!.fields.untold).toBe(480)
})

test("[T-6.3] a closed watch says nothing more", () => {
  const one = watch(service("healthy", []))
  one.watcher.close()
  expect(one.see(service("down", []))).toEqual([])
})
