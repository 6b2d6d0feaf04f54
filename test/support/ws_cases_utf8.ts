import { fatal, fine, fragments, hex, OP, spec, told, type WsCase } from "./ws_case.ts"

const { TEXT, CONTINUATION, PING } = OP
const bytes = (hexadecimal: string) => Buffer.from(hexadecimal.replaceAll(" ", ""), "hex")

const KOSME = bytes("cebae1bdb9cf83cebcceb5")
const MIXED = "Hello-µ@ßöäüàá-UTF-8!!"
const SURROGATE = Buffer.concat([KOSME, bytes("eda080"), Buffer.from("edited")])
const BEYOND = Buffer.concat([KOSME, bytes("f4908080"), Buffer.from("edited")])
/** Long enough for a frame's piece to arrive and be judged, if pieces are. */
const LOOK_MS = 250

/** 6.1 to 6.3: whole messages and their fragments. */
function wholes(): WsCase[] {
  const middle = [
    spec(TEXT, "", { fin: false }),
    spec(CONTINUATION, "middle frame payload", { fin: false }),
    spec(CONTINUATION),
  ]
  const empty = [spec(TEXT, "", { fin: false }), spec(CONTINUATION, "", { fin: false }), spec(CONTINUATION)]
  return [
    fine("6.1.1", "an empty text", [{ frames: [spec(TEXT)] }], [told("")]),
    fine("6.1.2", "three empty fragments", [{ frames: empty }], [told("")]),
    fine("6.1.3", "two empty fragments around one", [{ frames: middle }], [told("middle frame payload")]),
    fine("6.2.1", "umlauts in one frame", [{ frames: [spec(TEXT, MIXED)] }], [told(MIXED)]),
    fine("6.2.2", "umlauts in two frames", [{ frames: fragments(TEXT, MIXED, 14) }], [told(MIXED)]),
    fine("6.2.3", "umlauts in frames of a byte", [{ frames: fragments(TEXT, MIXED, 1) }], [told(MIXED)]),
    fine("6.2.4", "Greek in frames of a byte", [{ frames: fragments(TEXT, KOSME, 1) }], [told(KOSME)]),
    fatal("6.3.1", "a surrogate in a text", [{ frames: [spec(TEXT, SURROGATE)] }], [1007]),
    fatal("6.3.2", "the same in frames of a byte", [{ frames: fragments(TEXT, SURROGATE, 1) }], [1007]),
  ]
}

/** 6.4: bytes that can become no UTF-8 whatever follows. Who fails at once answers no ping any more. */
function failFast(): WsCase[] {
  const probed = (id: string, does: string, at: number, to: number): WsCase => {
    const made = fatal(
      id,
      does,
      [
        { frames: [spec(TEXT, BEYOND.subarray(0, at), { fin: false })] },
        { frames: [spec(CONTINUATION, BEYOND.subarray(at, to), { fin: false }), spec(PING, "still there?")] },
        { await: { pongs: 1 } },
        { frames: [spec(CONTINUATION, BEYOND.subarray(to))] },
      ],
      [1007],
    )
    return { ...made, expected: { ...made.expected, pongs: [hex("still there?")] } }
  }
  const dripped = (id: string, does: string, at: number, to: number): WsCase =>
    fatal(id, does, [{ frames: [spec(TEXT, BEYOND)], cuts: [at, to, BEYOND.length], pause: LOOK_MS }], [1007])
  return [
    probed("6.4.1", "a code point beyond Unicode in the second of three frames", 11, 15),
    probed("6.4.2", "up to the byte that spoils it in the second of three frames", 12, 13),
    dripped("6.4.3", "a code point beyond Unicode in the second of three pieces", 11, 15),
    dripped("6.4.4", "up to the byte that spoils it in the second of three pieces", 12, 13),
  ]
}

const range = (from: number, to: number) => Buffer.from(Array.from({ length: to - from }, (_, i) => from + i))
const spaced = (from: number, to: number) =>
  Buffer.concat([...range(from, to)].map((each) => Buffer.from([each, 0x20])))
const CUT_SHORT = bytesOf("c0|e080|f08080|f8808080|fc80808080|df|efbf|f7bfbf|fbbfbfbf|fdbfbfbfbf")

function bytesOf(list: string): Buffer<ArrayBuffer>[] {
  return list.split("|").map(bytes)
}

/** Code points that are none by definition, but valid: the last two of each plane, as the suite picks them. */
function nonCharacters(): Buffer[] {
  const found = bytesOf("efbfbe|efbfbf")
  for (let lead = 0xf0; lead <= 0xf4; lead++) {
    for (const second of [0x8f, 0x9f, 0xaf, 0xbf]) {
      if ((lead === 0xf4 && second !== 0x8f) || (lead === 0xf0 && second === 0x8f)) continue
      for (const last of [0xbe, 0xbf]) found.push(Buffer.from([lead, second, 0xbf, last]))
    }
  }
  return found
}

/** 6.5 to 6.23: sequences of Markus Kuhn's UTF-8 decoder stress test; which are valid the language's decoder says. */
const SEQUENCES: readonly (readonly [does: string, Buffer[]])[] = [
  [
    "valid text",
    ["hello$world", "hello¢world", "hello€world", "hello𤭢world"].map((e) => Buffer.from(e)).concat(KOSME),
  ],
  ["a prefix of valid text", Array.from(KOSME, (_, i) => KOSME.subarray(0, i + 1))],
  ["the first sequence of a length", bytesOf("00|c280|e0a080|f0908080")],
  ["the first sequence of 5 or 6 bytes", bytesOf("f888808080|fc8480808080")],
  ["the last sequence of a length", bytesOf("7f|dfbf|efbfbf|f48fbfbf")],
  ["the last sequence of a length beyond Unicode", bytesOf("f7bfbfbf|fbbfbfbfbf|fdbfbfbfbfbf")],
  ["a border", bytesOf("ed9fbf|ee8080|efbfbd|f48fbfbf|f4908080")],
  [
    "unexpected continuations",
    [...bytesOf("80|bf|80bf|80bf80|80bf80bf|80bf80bf80|80bf80bf80bf"), range(0x80, 0xbf)],
  ],
  [
    "lonely starts",
    [spaced(0xc0, 0xdf), spaced(0xe0, 0xef), spaced(0xf0, 0xf7), spaced(0xf8, 0xfb), spaced(0xfc, 0xfd)],
  ],
  ["a last byte missing", CUT_SHORT],
  ["incomplete sequences in a row", [Buffer.concat(CUT_SHORT)]],
  ["an impossible byte", bytesOf("fe|ff|fefeffff")],
  ["an overlong slash", bytesOf("c0af|e080af|f08080af|f8808080af|fc80808080af")],
  ["the longest overlong sequence", bytesOf("c1bf|e09fbf|f08fbfbf|f887bfbfbf|fc83bfbfbfbf")],
  ["an overlong NUL", bytesOf("c080|e08080|f0808080|f880808080|fc8080808080")],
  ["a surrogate", bytesOf("eda080|edadbf|edae80|edafbf|edb080|edbe80|edbfbf")],
  [
    "a pair of surrogates",
    bytesOf(
      "eda080edb080|eda080edbfbf|edadbfedb080|edadbfedbfbf|edae80edb080|edae80edbfbf|edafbfedb080|edafbfedbfbf",
    ),
  ],
  ["a code point that is no character", nonCharacters()],
  ["a special", bytesOf("efbfb9|efbfba|efbfbb|efbfbc|efbfbd|efbfbe|efbfbf")],
]

function isValid(sequence: Buffer): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(sequence)
    return true
  } catch {
    // How a decoder says no.
    return false
  }
}

/** Section 6 of the suite. */
export const UTF8_CASES: readonly WsCase[] = [
  ...wholes(),
  ...failFast(),
  ...SEQUENCES.flatMap(([does, sequences], section) =>
    sequences.map((sequence, at) => {
      const id = `6.${section + 5}.${at + 1}`
      const steps = [{ frames: [spec(TEXT, sequence)] }]
      return isValid(sequence) ? fine(id, does, steps, [told(sequence)]) : fatal(id, does, steps, [1007])
    }),
  ),
]
