import { expect, test } from "bun:test"
import {
  ChannelStoreError,
  type History,
  type StoredPublication,
} from "../../src/realtime/channels/channel_store.ts"
import { FanOut, type Heard } from "../../src/realtime/channels/fan_out.ts"
import type { Position } from "../../src/realtime/channels/protocol.ts"
import { until } from "../support/until.ts"

const publication = (offset: number): StoredPublication => ({
  offset,
  data: `${offset}`,
  publisher: undefined,
})

/** A channel that keeps all, and a fan-out of it that the test drives. */
async function create() {
  const kept: StoredPublication[] = []
  const told: string[] = []
  const channel = {
    epoch: "e",
    first: 1,
    away: false,
    reads: 0,
    told,
    publish(): Heard {
      kept.push(publication(kept.length + 1))
      return { epoch: channel.epoch, publication: kept.at(-1)! }
    },
    fanOut: undefined as unknown as FanOut,
  }
  async function read(_: string, since: Position | undefined): Promise<History> {
    channel.reads++
    await Promise.resolve()
    if (channel.away) throw new ChannelStoreError("away")
    const { epoch, first } = channel
    const position = { epoch, offset: kept.length, known: since?.epoch === epoch }
    if (since === undefined) return { ...position, publications: [], complete: true }
    if (since.epoch !== epoch) return { ...position, publications: [], complete: false }
    const publications = kept.filter(({ offset }) => offset > since.offset && offset >= first).slice(0, 10)
    return { ...position, publications, complete: since.offset >= kept.length || since.offset + 1 >= first }
  }
  channel.fanOut = new FanOut({
    listener: {
      publication: (_name, epoch, { offset }) => told.push(`${epoch}${offset}`),
      joined: () => {},
      left: () => {},
      lost: () => told.push("lost"),
    },
    read,
  })
  const followed = channel.fanOut.follow("c")
  await channel.fanOut.start("c", followed)
  return channel
}

const inOrder = (count: number) => Array.from({ length: count }, (_, i) => `e${i + 1}`)

test("what comes in order is told as it comes, without asking", async () => {
  const channel = await create()
  for (let i = 0; i < 5; i++) channel.fanOut.heard("c", channel.publish())
  expect(channel.told).toEqual(inOrder(5))
  expect(channel.reads).toBe(1)
})

test("an offset that jumps is told after what is missing before it", async () => {
  const channel = await create()
  channel.publish()
  channel.publish()
  channel.fanOut.heard("c", channel.publish())
  expect(channel.told).toEqual([])
  channel.fanOut.heard("c", channel.publish())
  await until(() => channel.told.length === 4, "all")
  expect(channel.told).toEqual(inOrder(4))
})

test("what comes twice or late is told once", async () => {
  const channel = await create()
  const [first, second] = [channel.publish(), channel.publish()]
  for (const heard of [first, first, second, first]) channel.fanOut.heard("c", heard)
  expect(channel.told).toEqual(inOrder(2))
})

test("of any selection, order and repetition of what was published the listener hears all, once, in order", async () => {
  let seed = 7
  const random = () => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    return seed / 2_147_483_648
  }
  for (let round = 0; round < 50; round++) {
    const channel = await create()
    const held: Heard[] = []
    for (let i = 0; i < 100; i++) {
      const heard = channel.publish()
      const luck = random()
      if (luck < 0.5) channel.fanOut.heard("c", heard)
      else if (luck < 0.7) held.push(heard)
      else if (luck < 0.8) for (const each of held.splice(0).reverse()) channel.fanOut.heard("c", each)
      if (random() < 0.3) await Promise.resolve()
      channel.away = random() < 0.1
    }
    channel.away = false
    channel.fanOut.tick()
    await until(() => channel.told.length >= 100, "all")
    expect(channel.told).toEqual(inOrder(100))
  }
})

test("what is gone before it was told is told to be lost, and what comes then goes on", async () => {
  const channel = await create()
  channel.publish()
  channel.publish()
  channel.first = 3
  channel.fanOut.heard("c", channel.publish())
  await until(() => channel.told.length > 0, "the loss")
  channel.fanOut.heard("c", channel.publish())
  expect(channel.told).toEqual(["lost", "e4"])
})

test("another epoch is told as a loss", async () => {
  const channel = await create()
  channel.fanOut.heard("c", channel.publish())
  channel.epoch = "f"
  channel.fanOut.heard("c", channel.publish())
  await until(() => channel.told.length === 2, "the loss")
  channel.fanOut.heard("c", channel.publish())
  expect(channel.told).toEqual(["e1", "lost", "f3"])
})

test("a channel that could not be asked for is asked for again at the next tick, and not before", async () => {
  const channel = await create()
  channel.away = true
  channel.publish()
  channel.fanOut.heard("c", channel.publish())
  await until(() => channel.reads === 2, "a question")
  await Promise.resolve()
  channel.away = false
  expect(channel.told).toEqual([])
  channel.fanOut.tick()
  await until(() => channel.told.length === 2, "all")
  expect(channel.told).toEqual(inOrder(2))
})

test("after a pause all channels are made up for", async () => {
  const channel = await create()
  for (let i = 0; i < 25; i++) channel.publish()
  channel.fanOut.resume()
  await until(() => channel.told.length === 25, "all")
  expect(channel.told).toEqual(inOrder(25))
})
