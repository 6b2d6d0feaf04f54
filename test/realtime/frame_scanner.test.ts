import { describe, expect, test } from "bun:test"
import { FrameScanner, type FrameSink } from "../../src/realtime/frame_scanner.ts"
import { Dice } from "../support/request_streams.ts"
import { closePayload, frame, OPCODE } from "../support/ws_raw.ts"

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 1500)
const SEED = Number(process.env.FUZZ_SEED ?? 29)
const { CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG } = OPCODE
const MAX = 100_000
const NOTHING = Buffer.alloc(0)

/** What a scan lets through and tells. */
class Seen implements FrameSink {
  passed: Buffer = NOTHING
  readonly told: string[] = []
  pongDue = false

  pass(bytes: Buffer, start: number, end: number): void {
    if (end <= start) throw new Error("nothing was passed")
    this.passed = Buffer.concat([this.passed, bytes.subarray(start, end)])
  }
  messageEnded(bytes: number): void {
    this.told.push(`message ${bytes}`)
  }
  ponged(): boolean {
    return this.pongDue
  }
  frameEnded(): void {
    this.told.push(`frame end at ${this.passed.length}`)
  }
  closing(): void {
    this.told.push(`close at ${this.passed.length}`)
  }
}

/** Scans `bytes` in reads that end at these places. */
function scan(bytes: Buffer, cuts: readonly number[], masked = true) {
  const seen = new Seen()
  const scanner = new FrameScanner(masked, MAX, seen)
  let fault = 0
  let at = 0
  for (const cut of [...cuts, bytes.length]) {
    // Of its own, as a read of a socket is.
    if (cut > at) fault ||= scanner.read(Buffer.from(bytes.subarray(at, cut)))
    at = cut
  }
  return { passed: seen.passed, told: seen.told, fault, inside: scanner.inside }
}

const bytewise = (bytes: Buffer): number[] => Array.from(bytes, (_, i) => i)
const join = (...frames: Buffer[]): Buffer => Buffer.concat(frames)

const STREAM = join(
  frame(TEXT, "µ", false),
  frame(PING, "mid"),
  frame(CONTINUATION, ""),
  frame(BINARY, Buffer.alloc(126, 7)),
  frame(PONG, ""),
  frame(TEXT, ""),
  frame(CLOSE, closePayload(1000, "bye")),
)

test("frames go on as they came, wherever they are cut", () => {
  const whole = scan(STREAM, [])
  expect(whole).toEqual({
    passed: STREAM,
    told: ["message 2", "message 126", "message 0", `close at ${STREAM.length}`],
    fault: 0,
    inside: false,
  })
  expect(scan(STREAM, bytewise(STREAM))).toEqual(whole)
  for (let first = 0; first < STREAM.length; first++)
    for (let second = first; second < STREAM.length; second += 7)
      expect(scan(STREAM, [first, second])).toEqual(whole)
})

test("what follows a close frame is not passed", () => {
  const close = frame(CLOSE, "")
  const { passed, told } = scan(join(close, frame(TEXT, "late")), [])
  expect([passed, told]).toEqual([close, [`close at ${close.length}`]])
})

test("a frame of 4 KB waits until it is whole, a larger one goes on as it comes", () => {
  const small = frame(BINARY, Buffer.alloc(4096))
  expect(scan(small.subarray(0, -1), []).passed).toEqual(NOTHING)
  const large = frame(BINARY, Buffer.alloc(4097))
  const { passed, inside } = scan(large.subarray(0, 100), [])
  expect([passed.length, inside]).toEqual([100, true])
})

const uint64 = (high: number, low: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeUInt32BE(high)
  bytes.writeUInt32BE(low, 4)
  return bytes
}
const claims = (opcode: number, length: Buffer): Buffer => join(Buffer.from([0x80 | opcode, 0xff]), length)

describe("is refused, with nothing of it passed, wherever it is cut:", () => {
  const good = frame(TEXT, "good")
  const open = frame(BINARY, "open", false)
  test.each<[string, Buffer, Buffer, number]>([
    ["RSV1", good, frame(TEXT | 0x40, "x"), 1002],
    ["RSV2", good, frame(TEXT | 0x20, "x"), 1002],
    ["RSV3 of a ping", good, frame(PING | 0x10, "x"), 1002],
    ["opcode 3", good, frame(3, "x"), 1002],
    ["opcode 7", good, frame(7, ""), 1002],
    ["opcode 11", good, frame(11, "x"), 1002],
    ["opcode 15", good, frame(15, ""), 1002],
    ["no mask", good, frame(TEXT, "x", true, false), 1002],
    ["a ping in fragments", good, frame(PING, "x", false), 1002],
    ["a close in fragments", good, frame(CLOSE, "", false), 1002],
    ["a ping of 126 bytes", good, frame(PING, Buffer.alloc(126)), 1002],
    ["a pong of 64 KB", good, frame(PONG, Buffer.alloc(65_536)), 1002],
    ["a continuation of nothing", good, frame(CONTINUATION, "x"), 1002],
    ["a message inside another", open, frame(BINARY, "x"), 1002],
    ["a close of one byte", good, frame(CLOSE, "x"), 1002],
    ["a close with 1005", good, frame(CLOSE, closePayload(1005)), 1002],
    ["a close with 1015", good, frame(CLOSE, closePayload(1015)), 1002],
    ["a close with 2999", good, frame(CLOSE, closePayload(2999)), 1002],
    ["a close with 5000", good, frame(CLOSE, closePayload(5000)), 1002],
    [
      "a close with a reason that is no UTF-8",
      good,
      frame(CLOSE, join(closePayload(1000), Buffer.from([0xc3]))),
      1007,
    ],
    ["text that is no UTF-8", good, frame(TEXT, new Uint8Array([0xc3, 0x28])), 1007],
    ["text that ends within a character", good, frame(TEXT, new Uint8Array([0x61, 0xe2, 0x82])), 1007],
    ["a message too big", good, claims(BINARY, uint64(0, MAX + 1)), 1009],
    ["a fragment too much", open, claims(CONTINUATION, uint64(0, MAX)), 1009],
    ["a length of 2^32", good, claims(BINARY, uint64(1, 0)), 1009],
    ["a length of 2^53", good, claims(TEXT, uint64(0x200000, 0)), 1009],
    ["the largest length there is", good, claims(BINARY, uint64(0x7fffffff, 0xffffffff)), 1009],
    ["a length of 2^63", good, claims(BINARY, uint64(0x80000000, 0)), 1002],
    ["a length of 2^64 - 1", good, claims(BINARY, uint64(0xffffffff, 0xffffffff)), 1002],
  ])("%s", (_, before, bad, fault) => {
    const stream = join(before, bad, frame(PING, "behind it"))
    for (const cuts of [[], bytewise(stream), [before.length], [before.length + 1], [before.length + 3]]) {
      const seen = scan(stream, cuts)
      expect([seen.fault, seen.inside]).toEqual([fault, false])
      expect(seen.passed).toEqual(before)
    }
  })

  test("a mask of a service", () => {
    expect(scan(frame(TEXT, "x"), [], false).fault).toBe(1002)
    expect(scan(frame(TEXT, "x", true, false), [], false).fault).toBe(0)
  })
})

test("text that turns bad inside a large frame is refused where it does", () => {
  const text = Buffer.alloc(60_000, "a")
  text[50_000] = 0xff
  const bytes = frame(TEXT, text)
  const { fault, passed, inside } = scan(bytes, [20_000, 40_000])
  expect([fault, passed.length, inside]).toEqual([1007, 40_000, true])
})

test("a pong without payload that the gateway has asked for is not passed, others are", () => {
  const seen = new Seen()
  const scanner = new FrameScanner(true, MAX, seen)
  const [before, after] = [frame(TEXT, "before"), frame(TEXT, "after")]
  seen.pongDue = true
  expect(scanner.read(join(before, frame(PONG, ""), after, frame(PONG, "its own")))).toBe(0)
  expect(seen.passed).toEqual(join(before, after, frame(PONG, "its own")))
  seen.pongDue = false
  scanner.read(frame(PONG, ""))
  expect(seen.passed.subarray(-6)).toEqual(frame(PONG, ""))
})

test("the end of a large frame is told between its last byte and what follows", () => {
  const seen = new Seen()
  const scanner = new FrameScanner(true, MAX, seen)
  const large = frame(BINARY, Buffer.alloc(10_000))
  scanner.read(large.subarray(0, 5000))
  scanner.tellFrameEnd = true
  scanner.read(join(large.subarray(5000), frame(TEXT, "next")))
  expect(seen.told).toEqual(["message 10000", `frame end at ${large.length}`, "message 4"])
})

/** Frames as an honest peer might send them. */
function honest(dice: Dice, masked: boolean): Buffer {
  const frames: Buffer[] = []
  for (let messages = dice.next(5); messages >= 0; messages--) {
    const text = dice.next(2) === 0
    const parts = 1 + dice.next(3)
    for (let part = 0; part < parts; part++) {
      const size = [0, 1, 125, 126, 4096, 4097, 9000][dice.next(7)]!
      const payload = text ? "é".repeat(size >> 1) : Buffer.alloc(size, dice.next(256))
      if (dice.next(4) === 0) frames.push(frame(dice.next(2) ? PING : PONG, "control", true, masked))
      frames.push(frame(part > 0 ? CONTINUATION : text ? TEXT : BINARY, payload, part === parts - 1, masked))
    }
  }
  return Buffer.concat(frames)
}

const someCuts = (dice: Dice, length: number): number[] =>
  Array.from({ length: dice.next(6) }, () => dice.next(length + 1)).toSorted((a, b) => a - b)

test(`[F-29] spoilt streams end the same however they are cut, and what is passed is a beginning (seed ${SEED})`, () => {
  const dice = new Dice(SEED)
  let faults = 0
  for (let round = 0; round < ROUNDS; round++) {
    const masked = dice.next(2) === 0
    const bytes = honest(dice, masked)
    const spoilt = dice.next(3) > 0
    if (spoilt) bytes[dice.next(Math.min(bytes.length, 4000))] = dice.next(256)
    const whole = scan(bytes, [], masked)
    const cut = scan(bytes, someCuts(dice, bytes.length), masked)
    expect(cut.fault).toBe(whole.fault)
    expect(bytes.subarray(0, cut.passed.length).equals(cut.passed)).toBe(true)
    if (spoilt) faults += whole.fault > 0 ? 1 : 0
    else
      expect([whole.fault, whole.passed.length, cut.passed.length]).toEqual([0, bytes.length, bytes.length])
  }
  expect(faults).toBeGreaterThan(ROUNDS / 10)
})

test(`noise of any kind is taken without harm (seed ${SEED})`, () => {
  const dice = new Dice(SEED)
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = Buffer.from(Array.from({ length: dice.next(200) }, () => dice.next(256)))
    const whole = scan(bytes, [])
    expect(scan(bytes, bytewise(bytes)).fault).toBe(whole.fault)
    expect(whole.passed.length).toBeLessThanOrEqual(bytes.length)
  }
})
