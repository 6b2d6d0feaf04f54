import { b64, fine, fragments, OP, type Step, spec, told, type WsCase } from "./ws_case.ts"

const KB = 1024
const { TEXT, BINARY } = OP
const KINDS = [
  ["text", TEXT],
  ["binary", BINARY],
] as const

function filler(size: number, binary: boolean): Buffer {
  return Buffer.alloc(size, binary ? Buffer.from([0x00, 0xff, 0xfe, 0x23]) : "BAsd7&jh23")
}

/** 9: size and speed. Sizes are a sixteenth of the suite's, and counts a fiftieth: what is asked is whether, not how fast. */
function limits(): WsCase[] {
  return KINDS.flatMap(([kind, op], second) => {
    const binary = op === BINARY
    const one = (id: string, does: string, size: number, steps: (payload: Buffer) => Step[]): WsCase => {
      const payload = filler(size, binary)
      return fine(id, `${kind}: ${does}`, steps(payload), [told(payload, binary)])
    }
    const whole = [4, 16, 64, 256, 512, 1024].map((size, at) =>
      one(`9.${1 + second}.${at + 1}`, `${size} KB`, size * KB, (payload) => [
        { frames: [spec(op, payload)] },
      ]),
    )
    const cut = [64, 256, KB, 4 * KB, 8 * KB, 16 * KB, 32 * KB, 64 * KB, 128 * KB].map((size, at) =>
      one(`9.${3 + second}.${at + 1}`, `128 KB in frames of ${size} bytes`, 128 * KB, (payload) => [
        { frames: fragments(op, payload, size) },
      ]),
    )
    const chopped = [64, 128, 256, 512, KB, 2 * KB].map((chop, at) =>
      one(`9.${5 + second}.${at + 1}`, `64 KB in writes of ${chop} bytes`, 64 * KB, (payload) => [
        { frames: [spec(op, payload)], chop },
      ]),
    )
    const rounds = [0, 16, 64, 256, KB, 4 * KB].map((size, at) => {
      const payload = filler(size, binary)
      const steps = Array.from({ length: 20 }, (_, i): Step[] => [
        { frames: [spec(op, payload)] },
        { await: { messages: i + 1 } },
      ])
      const messages = Array.from({ length: 20 }, () => told(payload, binary))
      return fine(
        `9.${7 + second}.${at + 1}`,
        `${kind}: 20 messages of ${size} bytes`,
        steps.flat(),
        messages,
      )
    })
    return [...whole, ...cut, ...chopped, ...rounds]
  })
}

/** 10: one message in frames as a sender cuts them by itself. */
function autoFragments(): WsCase {
  const payload = filler(64 * KB, false)
  return fine(
    "10.1.1",
    "64 KB in frames of 1300 bytes",
    [{ frames: fragments(TEXT, payload, 1300) }],
    [told(payload)],
  )
}

/** Of a kind of content, so many bytes from a place that moves on. */
type Content = (size: number, at: number) => Buffer

const cyclic =
  (unit: string): Content =>
  (size, at) =>
    Buffer.alloc(size, unit.slice(at % unit.length) + unit.slice(0, at % unit.length))
const json = cyclic('{"id":4711,"name":"Grüße","tags":["a","b"],"at":"2026-01-01T00:00:00Z","n":3.25},')
// A message ends within a character otherwise.
const ascii: Content = (size, at) =>
  Buffer.from(
    json(size, at)
      .toString("latin1")
      .replace(/[^\x20-\x7e]/g, "?"),
  )

/** 12: kinds of content; whether each is sent as bytes, as in the suite. */
const CONTENTS: readonly (readonly [does: string, binary: boolean, Content])[] = [
  ["JSON", false, ascii],
  ["a picture", true, (size, at) => Buffer.from(Array.from({ length: size }, (_, i) => ((i + at) * 7) >> 3))],
  ["prose", true, cyclic("Habe nun, ach! Philosophie, Juristerei und Medizin durchaus studiert. ")],
  ["HTML", false, cyclic('<li class="row"><a href="/en/page">A page</a></li>\n')],
  ["noise", true, (size, at) => Buffer.from(Array.from({ length: size }, (_, i) => noise(i + at)))],
]

/** The same on every run, and nothing a compressor finds a pattern in. */
function noise(at: number): number {
  let mixed = Math.imul(at + 1, 0x9e3779b1)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x85ebca6b)
  return (mixed ^ (mixed >>> 13)) & 255
}

/** Bytes of a message and of its frames, an eighth of the suite's from 1 KB on; undefined: one frame. */
const SHAPES: readonly (readonly [size: number, fragment?: number])[] = [
  [16],
  [64],
  [256],
  [128],
  [512],
  [KB],
  [2 * KB],
  [4 * KB],
  [8 * KB],
  [16 * KB],
  [KB, 32],
  [2 * KB, 32],
  [4 * KB, 32],
  [8 * KB, 32],
  [16 * KB, 32],
  [16 * KB, 128],
  [16 * KB, 512],
  [16 * KB, 4 * KB],
]

/** 13: what the client asks of the server: no context across messages, a window of so many bits. */
const OFFERS: readonly (readonly Readonly<Record<string, unknown>>[])[] = [
  [{}],
  [{ server_no_context_takeover: true }],
  [{ server_max_window_bits: 9 }],
  [{ server_max_window_bits: 15 }],
  [{ server_no_context_takeover: true, server_max_window_bits: 9 }],
  [{ server_no_context_takeover: true, server_max_window_bits: 15 }],
  [{ server_no_context_takeover: true, server_max_window_bits: 9 }, { server_no_context_takeover: true }, {}],
]

const ROUNDS = 2

function compressed(
  id: string,
  does: string,
  binary: boolean,
  content: Content,
  offers: readonly Readonly<Record<string, unknown>>[],
): WsCase[] {
  return SHAPES.map(([size, fragment], at) => {
    const payloads = Array.from({ length: ROUNDS }, (_, i) => content(size, i * size))
    const steps = payloads.flatMap((payload, i): Step[] => [
      { say: { b64: b64(payload), binary, ...(fragment !== undefined && { fragment }) } },
      { await: { messages: i + 1 } },
    ])
    const made = fine(
      `${id}.${at + 1}`,
      `${does}, ${size} bytes`,
      steps,
      payloads.map((each) => told(each, binary)),
    )
    return { ...made, offers }
  })
}

/** Sections 9 and 10 of the suite. */
export const BULK_CASES: readonly WsCase[] = [...limits(), autoFragments()]

/** Sections 12 and 13: messages compressed each by itself (RFC 7692). */
export const DEFLATE_CASES: readonly WsCase[] = [
  ...CONTENTS.flatMap(([does, binary, content], at) =>
    compressed(`12.${at + 1}`, does, binary, content, [{}]),
  ),
  ...OFFERS.flatMap((offers, at) => compressed(`13.${at + 1}`, JSON.stringify(offers), false, ascii, offers)),
]
