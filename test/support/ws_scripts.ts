import type { Dice } from "./request_streams.ts"
import { closing, type FrameSpec, fragments, hex, OP, type Step, spec, told, type WsCase } from "./ws_case.ts"

const { TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE } = OP

/** Payload lengths, the borders of their encodings more often than others. */
const SIZES = [0, 1, 2, 7, 124, 125, 126, 127, 128, 1000, 4096, 65_535, 65_536, 70_000]
const WORDS = [
  "a",
  "Ω",
  "ß",
  "€",
  "𤭢",
  "\0",
  "\u{10ffff}",
  "\ufffd",
  "ok ",
  '{"a":1}',
  "012",
  "\u200b",
  "\r\n",
]
const SPOILED = ["80", "c0af", "ed a0 80", "f4908080", "fe", "c3", "e282", "f0a4ad", "f8888080"].map((each) =>
  Buffer.from(each.replaceAll(" ", ""), "hex"),
)
const GOOD_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999]
const BAD_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 32_768, 65_535]

function someText(dice: Dice, size: number): string {
  let text = ""
  while (text.length < size) text += dice.pick(WORDS)
  return text
}

function someBytes(dice: Dice, size: number): Buffer {
  const bytes = Buffer.alloc(size)
  for (let at = 0; at < size; at++) bytes[at] = dice.next(256)
  return bytes
}

/** Steps of a client, with what an echo server must answer to them. */
class Script {
  readonly steps: Step[] = []
  readonly messages: string[] = []
  readonly pongs: string[] = []
  readonly #dice: Dice
  #pending: FrameSpec[] = []

  constructor(dice: Dice) {
    this.#dice = dice
  }

  add(...frames: readonly FrameSpec[]): void {
    this.#pending.push(...frames)
    if (this.#dice.once(2)) this.flush()
  }

  /** Writes what is waiting, cut into writes in any way. */
  flush(): void {
    const frames = this.#pending
    if (frames.length === 0) return
    this.#pending = []
    const bytes = frames.reduce((sum, { b64 = "" }) => sum + b64.length, 0)
    const way = this.#dice.next(3)
    if (way === 0) this.steps.push({ frames })
    else if (way === 1) this.steps.push({ frames, sync: true })
    else this.steps.push({ frames, chop: 1 + this.#dice.next(40) + Math.ceil(bytes / 100) })
  }

  /** Everything up to here is answered before anything else is sent: what follows may cut answers off. */
  settle(): void {
    this.flush()
    this.steps.push({ await: { messages: this.messages.length, pongs: this.pongs.length } })
  }

  ping(): void {
    const payload = someBytes(this.#dice, this.#dice.pick([0, 1, 5, 125]))
    this.pongs.push(hex(payload))
    this.add(spec(PING, payload))
  }

  /** A message in some frames, with some pings and pongs between them. */
  message(): void {
    const dice = this.#dice
    const binary = dice.once(2)
    const size = dice.once(4) ? dice.pick(SIZES) : dice.next(300)
    const payload = binary ? someBytes(dice, size) : Buffer.from(someText(dice, size))
    const cut = dice.once(2) ? Math.max(payload.length, 1) : 1 + dice.next(payload.length + 1)
    const frames = fragments(binary ? BINARY : TEXT, payload, Math.max(cut, Math.ceil(payload.length / 20)))
    for (const [at, each] of frames.entries()) {
      if (at > 0 && dice.once(3)) this.ping()
      if (at > 0 && dice.once(5)) this.add(spec(PONG, "unasked"))
      this.add(each)
    }
    this.messages.push(told(payload, binary))
  }
}

/** What a server must fail a connection for: the frames, and the codes it may do that with. */
type Violation = (
  dice: Dice,
) => readonly [does: string, frames: readonly FrameSpec[], codes: readonly number[]]

const VIOLATIONS: readonly Violation[] = [
  (dice) => {
    const op = dice.pick([TEXT, BINARY, PING, PONG, CLOSE])
    const rsv = 1 + dice.next(7)
    return [`opcode ${op} with RSV ${rsv}`, [spec(op, op === CLOSE ? closing(1000) : "x", { rsv })], [1002]]
  },
  (dice) => {
    const op = dice.pick([3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
    return [`opcode ${op}`, [spec(op, someBytes(dice, dice.next(20)))], [1002]]
  },
  (dice) => {
    const op = dice.pick([PING, PONG, CLOSE])
    const payload = op === CLOSE ? closing(1000, "x".repeat(124)) : Buffer.alloc(126 + dice.next(200))
    return [`opcode ${op} that is too long`, [spec(op, payload)], [1002]]
  },
  (dice) => [
    "a control frame in pieces",
    [spec(dice.pick([PING, PONG, CLOSE]), closing(1000), { fin: false }), spec(CONTINUATION)],
    [1002],
  ],
  (dice) => ["a continuation of nothing", [spec(CONTINUATION, "x", { fin: dice.once(2) })], [1002]],
  (dice) => [
    "a message inside another",
    [spec(TEXT, "x", { fin: false }), spec(dice.pick([TEXT, BINARY]), "y", { fin: dice.once(2) })],
    [1002],
  ],
  (dice) => [
    "a frame without a mask",
    [spec(dice.pick([TEXT, BINARY, PING]), "x", { masked: false })],
    [1002],
  ],
  (dice) => {
    const text = Buffer.concat([
      Buffer.from(someText(dice, dice.next(50))),
      dice.pick(SPOILED),
      Buffer.from(dice.once(2) ? "" : "tail"),
    ])
    return ["invalid UTF-8", fragments(TEXT, text, 1 + dice.next(text.length)), [1007]]
  },
  (dice) => {
    const code = dice.pick(BAD_CODES)
    return [`a close with ${code}`, [spec(CLOSE, closing(code, dice.once(2) ? "" : "why"))], [1002]]
  },
  (dice) => ["a close with a broken reason", [spec(CLOSE, closing(1000, dice.pick(SPOILED)))], [1007, 1002]],
  () => ["a close of one byte", [spec(CLOSE, Buffer.from([3]))], [1002]],
]

/** One connection of a client that talks at random and then says goodbye, or breaks the protocol. */
export function makeScript(dice: Dice, id: string): WsCase {
  const script = new Script(dice)
  for (let left = dice.next(8); left > 0; left--) {
    if (dice.once(4)) script.ping()
    else if (dice.once(8)) script.add(spec(PONG, someBytes(dice, dice.next(126))))
    else script.message()
  }
  script.settle()
  const { steps, messages, pongs } = script
  const ends = (does: string, frames: readonly FrameSpec[], close: readonly number[]): WsCase => {
    for (const each of frames) script.add(each)
    script.flush()
    return { id, does, steps, finish: "end", expected: { messages, pongs, close } }
  }
  if (dice.once(4))
    return { id, does: "1000", steps, finish: "close", expected: { messages, pongs, close: [1000] } }
  if (dice.once(4)) {
    const code = dice.pick(GOOD_CODES)
    const reason = someText(dice, dice.next(20))
    const after = dice.once(3) ? [spec(TEXT, "too late"), spec(PING)] : []
    return ends(`a close with ${code}`, [spec(CLOSE, closing(code, reason)), ...after], [code])
  }
  return ends(...dice.pick(VIOLATIONS)(dice))
}
