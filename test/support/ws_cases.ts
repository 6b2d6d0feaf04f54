import {
  closing,
  type FrameSpec,
  fatal,
  fine,
  fragments,
  hex,
  OP,
  type Step,
  spec,
  told,
  type WsCase,
} from "./ws_case.ts"

const HELLO = "Hello, world!"
const { TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE } = OP

/** 1: lengths of one frame, at the borders of their three encodings. */
function framing(): WsCase[] {
  const sizes = [0, 125, 126, 127, 128, 65_535, 65_536, 65_536]
  return [false, true].flatMap((binary, kind) =>
    sizes.map((size, at) => {
      const payload = binary ? Buffer.alloc(size, 0xfe) : "*".repeat(size)
      const step = { frames: [spec(binary ? BINARY : TEXT, payload)], ...(at === 7 && { chop: 997 }) }
      const does = `a ${binary ? "binary" : "text"} message of ${size} bytes${at === 7 ? " in pieces" : ""}`
      return fine(`1.${kind + 1}.${at + 1}`, does, [step], [told(payload, binary)])
    }),
  )
}

/** 2: pings and pongs. */
function pings(): WsCase[] {
  const big = Buffer.alloc(125, 0xfe)
  const odd = Buffer.from([0, 255, 254, 253, 252, 251, 0, 255])
  const ten = Array.from({ length: 10 }, (_, i) => `payload-${i}`)
  const tenPings = ten.map((each) => spec(PING, each))
  const unasked = spec(PONG, "unsolicited pong payload")
  return [
    fine("2.1", "an empty ping", [{ frames: [spec(PING)] }], [], [""]),
    fine("2.2", "a ping with text", [{ frames: [spec(PING, HELLO)] }], [], [hex(HELLO)]),
    fine("2.3", "a ping with bytes that are no UTF-8", [{ frames: [spec(PING, odd)] }], [], [hex(odd)]),
    fine("2.4", "a ping of 125 bytes", [{ frames: [spec(PING, big)] }], [], [hex(big)]),
    fatal("2.5", "a ping of 126 bytes", [{ frames: [spec(PING, Buffer.alloc(126, 0xfe))] }]),
    fine(
      "2.6",
      "a ping of 125 bytes, byte by byte",
      [{ frames: [spec(PING, big)], chop: 1 }],
      [],
      [hex(big)],
    ),
    fine("2.7", "an empty pong nobody asked for", [{ frames: [spec(PONG)] }], []),
    fine("2.8", "a pong nobody asked for", [{ frames: [unasked] }], []),
    fine("2.9", "such a pong, then a ping", [{ frames: [unasked, spec(PING, "ping")] }], [], [hex("ping")]),
    fine("2.10", "ten pings", [{ frames: tenPings }], [], ten.map(hex)),
    fine("2.11", "ten pings, byte by byte", [{ frames: tenPings, chop: 1 }], [], ten.map(hex)),
  ]
}

/** A message, then something that must not be, then a ping: as the suite has it, and once the echo is there. */
function afterHello(id: string, does: string, bad: FrameSpec, how: Partial<Step> = {}): WsCase[] {
  const rest = [bad, spec(PING)]
  const hello = spec(TEXT, HELLO)
  const step = { frames: [hello, ...rest], ...how } as Step
  const { loose: _, ...strict } = fatal(
    `${id} after the echo`,
    `${does}, once the message before it is back`,
    [{ frames: [hello] }, { await: { messages: 1 } }, { frames: rest, ...how } as Step],
    [1002],
    [told(HELLO)],
  )
  return [fatal(id, does, [step], [1002], [told(HELLO)]), strict]
}

/** 3: reserved bits, which no extension was agreed to use. */
function reservedBits(): WsCase[] {
  return [
    fatal("3.1", "a text with RSV 1", [{ frames: [spec(TEXT, HELLO, { rsv: 1 })] }]),
    ...afterHello("3.2", "a text with RSV 2 after a message", spec(TEXT, HELLO, { rsv: 2 })),
    ...afterHello("3.3", "a text with RSV 3, frame by frame", spec(TEXT, HELLO, { rsv: 3 }), { sync: true }),
    ...afterHello("3.4", "a text with RSV 4, byte by byte", spec(TEXT, HELLO, { rsv: 4 }), { chop: 1 }),
    fatal("3.5", "bytes with RSV 5", [{ frames: [spec(BINARY, HELLO, { rsv: 5 })] }]),
    fatal("3.6", "a ping with RSV 6", [{ frames: [spec(PING, HELLO, { rsv: 6 })] }]),
    fatal("3.7", "a close with RSV 7", [{ frames: [spec(CLOSE, "", { rsv: 7 })] }]),
  ]
}

/** 4: opcodes that mean nothing. */
function opcodes(): WsCase[] {
  return [3, 11].flatMap((first, kind) => {
    const id = (at: number): string => `4.${kind + 1}.${at}`
    return [
      fatal(id(1), `opcode ${first}`, [{ frames: [spec(first)] }]),
      fatal(id(2), `opcode ${first + 1} with a payload`, [
        { frames: [spec(first + 1, "reserved opcode payload")] },
      ]),
      ...afterHello(id(3), `opcode ${first + 2} after a message`, spec(first + 2)),
      ...afterHello(id(4), `opcode ${first + 3} with a payload after a message`, spec(first + 3, HELLO)),
      ...afterHello(id(5), `opcode ${first + 4}, byte by byte`, spec(first + 4, HELLO), { chop: 1 }),
    ]
  })
}

const WAYS = [
  ["", {}],
  [", frame by frame", { sync: true }],
  [", byte by byte", { chop: 1 }],
] as const

/** The same frames written in the three ways, as cases with the numbers from `first`. */
function threeWays(first: number, make: (id: string, how: string, way: Partial<Step>) => WsCase): WsCase[] {
  return WAYS.map(([how, way], at) => make(`5.${first + at}`, how, way))
}

/** 5: fragments. */
function fragmentation(): WsCase[] {
  const two = [spec(TEXT, "fragment1", { fin: false }), spec(CONTINUATION, "fragment2")]
  const ping = spec(PING, "ping payload")
  const whole = told("fragment1fragment2")
  const stray = (fin: boolean): FrameSpec => spec(CONTINUATION, "non-continuation payload", { fin })
  const part = (op: number, n: number, fin = false): FrameSpec => spec(op, `fragment${n}`, { fin })
  const five = told([1, 2, 3, 4, 5].map((n) => `fragment${n}`).join(""))
  const repeated = (fin: boolean): FrameSpec[] =>
    [1, 2].flatMap(() => [part(CONTINUATION, 1, fin), part(TEXT, 2), part(CONTINUATION, 3, true)])
  const legal = (id: string, how: Partial<Step>): WsCase =>
    fine(
      id,
      "five fragments with a wait and two pings between them",
      [
        { frames: [part(TEXT, 1), part(CONTINUATION, 2), spec(PING, "pongme 1!")], ...how } as Step,
        { await: { pongs: 1 } },
        {
          frames: [
            part(CONTINUATION, 3),
            part(CONTINUATION, 4),
            spec(PING, "pongme 2!"),
            part(CONTINUATION, 5, true),
          ],
          ...how,
        } as Step,
      ],
      [five],
      ["pongme 1!", "pongme 2!"].map(hex),
    )
  return [
    fatal("5.1", "a ping in two fragments", [{ frames: [spec(PING, "fragment1", { fin: false }), two[1]!] }]),
    fatal("5.2", "a pong in two fragments", [{ frames: [spec(PONG, "fragment1", { fin: false }), two[1]!] }]),
    ...threeWays(3, (id, how, way) =>
      fine(id, `two fragments${how}`, [{ frames: two, ...way } as Step], [whole]),
    ),
    ...threeWays(6, (id, how, way) =>
      fine(
        id,
        `a ping between two fragments${how}`,
        [{ frames: [two[0]!, ping, two[1]!], ...way } as Step],
        [whole],
        [hex("ping payload")],
      ),
    ),
    ...[true, false].flatMap((fin, at) =>
      threeWays(9 + 3 * at, (id, how, way) =>
        fatal(id, `a continuation of nothing, FIN ${fin}, then a text${how}`, [
          { frames: [stray(fin), spec(TEXT, HELLO)], ...way } as Step,
        ]),
      ),
    ),
    fatal(
      "5.15",
      "a whole message, then a continuation of nothing",
      [{ frames: [...two, part(CONTINUATION, 3), part(TEXT, 4, true)] }],
      [1002],
      [whole],
    ),
    fatal("5.16", "twice a continuation of nothing before a message", [{ frames: repeated(false) }]),
    fatal("5.17", "the same with FIN", [{ frames: repeated(true) }]),
    fatal("5.18", "a second text inside a message", [{ frames: [two[0]!, part(TEXT, 2, true)] }]),
    legal("5.19", {}),
    legal("5.20", { sync: true }),
  ]
}

/** A case that closes by itself; the answer has one of these codes. */
function closes(id: string, does: string, frames: readonly FrameSpec[], codes: readonly number[]): WsCase {
  return { id, does, steps: [{ frames }], finish: "end", expected: { messages: [], pongs: [], close: codes } }
}

const VALID_CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]
const INVALID_CODES = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999]
const FAILED = [1002]

/** 7: closing. */
function closeHandling(): WsCase[] {
  const close = (code: number, reason: Uint8Array | string = ""): FrameSpec =>
    spec(CLOSE, closing(code, reason))
  const normal = close(1000)
  const text = spec(TEXT, HELLO)
  const big = "BAsd7&jh23".repeat(26_215).slice(0, 256 * 1024)
  const [first, second] = fragments(TEXT, "fragment1fragment2", 9)
  const broken = Buffer.from("cebae1bdb9cf83cebcceb5eda080656469746564", "hex")
  return [
    fine("7.1.1", "a message, then a close", [{ frames: [text] }], [told(HELLO)]),
    closes("7.1.2", "two closes", [normal, spec(CLOSE)], [1000]),
    closes("7.1.3", "a ping after the close", [normal, spec(PING)], [1000]),
    closes("7.1.4", "a text after the close", [normal, text], [1000]),
    closes("7.1.5", "a close inside a message", [first!, normal, second!], [1000, ...FAILED]),
    {
      ...closes(
        "7.1.6",
        "256 KB, a message, a close and a ping",
        [spec(TEXT, big), text, normal, spec(PING)],
        [1000],
      ),
      expected: { messages: [told(big), told(HELLO)], pongs: [], close: [1000] },
      loose: true,
    },
    closes("7.3.1", "a close without code", [spec(CLOSE)], [1005, 1000]),
    closes("7.3.2", "a close of one byte", [spec(CLOSE, "a")], FAILED),
    closes("7.3.3", "a close with a code", [normal], [1000]),
    closes("7.3.4", "a close with a reason", [close(1000, "Hello World!")], [1000]),
    closes("7.3.5", "a close with the longest reason", [close(1000, "*".repeat(123))], [1000]),
    closes("7.3.6", "a close with a reason too long", [close(1000, "*".repeat(124))], FAILED),
    closes("7.5.1", "a close with a reason that is no UTF-8", [close(1000, broken)], [1007, ...FAILED]),
    ...VALID_CODES.map((code, at) =>
      closes(`7.7.${at + 1}`, `a close with ${code}`, [close(code)], [code, 1000]),
    ),
    ...INVALID_CODES.map((code, at) =>
      closes(`7.9.${at + 1}`, `a close with ${code}`, [close(code)], FAILED),
    ),
    ...[5000, 65_535].map((code, at) =>
      closes(`7.13.${at + 1}`, `a close with ${code}`, [close(code)], [code, 1000, ...FAILED]),
    ),
  ]
}

/** Sections 1 to 5 and 7 of the suite. */
export const FRAME_CASES: readonly WsCase[] = [
  ...framing(),
  ...pings(),
  ...reservedBits(),
  ...opcodes(),
  ...fragmentation(),
  ...closeHandling(),
]
