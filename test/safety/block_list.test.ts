import { expect, test } from "bun:test"
import { BlockList, type BlockRules } from "../../src/safety/block_list.ts"
import { FakeTime } from "../support/fake_time.ts"

const MINUTE = 60_000
const RULES: BlockRules = { firstMs: MINUTE, factor: 4, maxMs: 60 * MINUTE, forgiveMs: 24 * 60 * MINUTE }

function open(max = 100) {
  const time = new FakeTime()
  const ended: string[] = []
  const list = new BlockList({
    now: time.now,
    origin: "a",
    max,
    onEnd: ({ client }, why) => void ended.push(`${client} ${why}`),
  })
  const offend = (client: string, rules = RULES) => {
    const block = list.offended(client, "not_found", rules)
    return block && (block.untilMs - block.startedAtMs) / MINUTE
  }
  return { time, list, ended, offend }
}

test("[C-6.2 T-5.5] each block of a client lasts longer than the one before, up to the longest", () => {
  const { time, list, offend } = open()
  const lasted = Array.from({ length: 5 }, () => {
    const minutes = offend("192.0.2.1")!
    time.pass(minutes * MINUTE)
    list.sweep()
    return minutes
  })
  expect(lasted).toEqual([1, 4, 16, 60, 60])
  expect(offend("192.0.2.2")).toBe(1)
})

test("[T-5.5] after a quiet time earlier blocks are forgiven, counted from the end of the last", () => {
  const { time, offend } = open()
  expect(offend("192.0.2.1")).toBe(1)
  time.pass(MINUTE + RULES.forgiveMs - 1)
  expect(offend("192.0.2.1")).toBe(4)
  time.pass(4 * MINUTE + RULES.forgiveMs)
  expect(offend("192.0.2.1")).toBe(1)
})

test("whoever is blocked already is not blocked once more", () => {
  const { offend, list } = open()
  offend("192.0.2.1")
  expect([offend("192.0.2.1"), list.get("192.0.2.1")!.times]).toEqual([undefined, 1])
})

test("a sweep ends what is over and nothing else", () => {
  const { time, list, ended, offend } = open()
  offend("192.0.2.1")
  list.block("192.0.2.2", 2 * MINUTE, "")
  time.pass(MINUTE)
  list.sweep()
  expect(ended).toEqual(["192.0.2.1 time"])
  expect([...list.all()].map(({ client }) => client)).toEqual(["192.0.2.2"])
})

test("an operator's block replaces another and does not make the next one longer", () => {
  const { time, list, ended, offend } = open()
  offend("192.0.2.1")
  list.block("192.0.2.1", 10 * MINUTE, "scans")
  time.pass(MINUTE)
  list.sweep()
  expect([ended, list.get("192.0.2.1")?.reason]).toEqual([[], "operator"])
  time.pass(9 * MINUTE)
  list.sweep()
  expect(ended).toEqual(["192.0.2.1 time"])
  expect(offend("192.0.2.1")).toBe(4)
})

test("[T-5.5] an unblocked client starts anew", () => {
  const { list, ended, offend } = open()
  offend("192.0.2.1")
  expect([list.lift("192.0.2.1")?.client, list.lift("192.0.2.1")]).toEqual(["192.0.2.1", undefined])
  expect(ended).toEqual(["192.0.2.1 lifted"])
  expect(offend("192.0.2.1")).toBe(1)
})

test("at the cap the block that would end first goes", () => {
  const { list, ended } = open(3)
  for (const [client, minutes] of [
    ["a", 5],
    ["b", 1],
    ["c", 3],
    ["d", 4],
    ["e", 9],
  ] as const)
    list.block(client, minutes * MINUTE, "")
  expect(ended).toEqual(["b room", "c room"])
  expect([...list.all()].map(({ client }) => client)).toEqual(["a", "d", "e"])
})

test("blocking and unblocking one client for ever takes no memory", () => {
  const { list, ended } = open(10)
  for (let i = 0; i < 5000; i++) {
    list.block("a", MINUTE, "")
    list.lift("a")
  }
  list.block("b", MINUTE, "")
  expect([list.size, ended.length]).toEqual([1, 5000])
})
