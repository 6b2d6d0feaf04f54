import { expect, test } from "bun:test"
import { RegistryFeed } from "../../src/gateway/registry_feed.ts"
import type { RegistryNews, RegistryQuestion } from "../../src/gateway/registry_news.ts"
import { Registry } from "../../src/upstream/discovery/registry.ts"
import { FakeTime } from "../support/fake_time.ts"
import { registered } from "../support/registered.ts"

function open() {
  const time = new FakeTime()
  const registry = new Registry({ now: time.now, epoch: "a1", onEvent: () => feed.happened() })
  const feed = new RegistryFeed(registry, time.after)
  return { time, registry, feed }
}

const ask = (since: string | undefined, services: readonly string[] = ["*"]): RegistryQuestion => ({
  kind: "registry",
  since,
  services,
})

const eventsOf = (news: RegistryNews | undefined): string[] =>
  [...(news?.text ?? "").matchAll(/^event: (.*)$/gm)].map((found) => found[1]!)

test("[T-1.4] a reader begins with all there is that it may know of", async () => {
  const { registry, feed } = open()
  registry.register(registered())
  registry.register(registered({ service_name: "secret" }))
  const news = await feed.ask(ask(undefined, ["context"]))
  expect(eventsOf(news)).toEqual(["snapshot"])
  expect(news!.text).toContain("context")
  expect(news!.text).not.toContain("secret")
  expect(news!.place).toBe("a1-2")
})

test("[T-1.4] a reader that waits is told what happens in a short while at once", async () => {
  const { registry, feed, time } = open()
  const waiting = feed.ask(ask(registry.events.place))
  registry.register(registered())
  registry.drain("context", registered().id, true)
  time.pass(20)
  const news = await waiting
  expect(eventsOf(news)).toEqual(["registered", "draining"])
  expect([...news!.text.matchAll(/^id: (.*)$/gm)].map((found) => found[1]!)).toEqual(["a1-1", "a1-2"])
  expect(news!.place).toBe("a1-2")
})

test("[T-1.4] what a reader may not know of moves its place and says nothing", async () => {
  const { registry, feed, time } = open()
  const waiting = feed.ask(ask(registry.events.place, ["context"]))
  registry.register(registered({ service_name: "secret" }))
  time.pass(20)
  expect(await waiting).toEqual({ kind: "registry", place: "a1-1", text: "" })
})

test("[T-1.4] while nothing happens a reader hears so in time to see that its connection stands", async () => {
  const { registry, feed, time } = open()
  const waiting = feed.ask(ask(registry.events.place))
  time.pass(10_000)
  expect(await waiting).toEqual({ kind: "registry", place: "a1-0", text: "" })
})

test("[T-1.4] a place nobody knows begins anew, and says so", async () => {
  const { registry, feed } = open()
  registry.register(registered())
  expect(eventsOf(await feed.ask(ask("zz-1")))).toEqual(["reset", "snapshot"])
})

test("[T-1.4] so many may wait and no more; at the end all are sent away", async () => {
  const { registry, feed } = open()
  const { place } = registry.events
  const waiting = Array.from({ length: 512 }, () => feed.ask(ask(place)))
  expect(await feed.ask(ask(place))).toBeUndefined()
  feed.close()
  expect(await Promise.all(waiting)).toEqual(waiting.map(() => undefined))
  expect(await feed.ask(ask(undefined))).toBeUndefined()
})
