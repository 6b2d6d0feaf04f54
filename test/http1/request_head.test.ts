import { describe, expect, test } from "bun:test"
import { HeldHead } from "../../src/http1/held_head.ts"
import { MAX_REQUEST_FIELDS, parseRequestHead, type RequestHead } from "../../src/http1/request_head.ts"

const MAX_BYTES = 16_384
const parse = (text: string, maxBytes = MAX_BYTES) => parseRequestHead(Buffer.from(text, "latin1"), maxBytes)
const HOST = "Host: a\r\n"
const head = (target = "/x", fields = HOST, method = "GET", version = "HTTP/1.1") =>
  `${method} ${target} ${version}\r\n${fields}\r\n`

function complete(text: string): RequestHead {
  const found = parse(text)
  if (found.kind !== "complete") throw new Error(`not complete: ${JSON.stringify(found)}`)
  return found
}

test("a head gives method, target, fields and its end", () => {
  const text = head("/a?b", `${HOST}X-A: 1\r\nx-a:2\r\n`, "DELETE")
  const found = complete(`${text}body`)
  expect([found.method, found.target, found.headEnd]).toEqual(["DELETE", "/a?b", text.length])
  expect(found.fields.flat()).toEqual(["host", "a", "x-a", "1", "x-a", "2"])
})

test("a field is a value when one line of its name has it, letter by letter, and no other", () => {
  const { fields } = complete(head("/x", "Host: \ta.example \r\nX-Two: b\r\nX-Empty:\r\nx-two: b\r\n"))
  const asked = [
    ["host", "a.example"],
    ["x-empty", ""],
    ["host", "a.exampl"],
    ["host", "a.examplE"],
    ["host", "a.example "],
    ["host", ""],
    ["x-two", "b"],
    ["x-none", ""],
  ] as const
  expect(asked.map(([name, value]) => fields.is(name, value))).toEqual([
    ...[true, true, false, false, false, false, false, false],
  ])
})

test("a head may stand anywhere in the bytes", () => {
  const first = head("/first")
  const both = Buffer.from(first + head("/second"), "latin1")
  const found = parseRequestHead(both, MAX_BYTES, first.length)
  expect(found).toMatchObject({ kind: "complete", target: "/second", headEnd: both.length })
})

/** The byte values for which the text around them gives this kind. */
function valuesThat(kind: string, around: (byte: string) => string): string {
  const found: string[] = []
  for (let byte = 0; byte < 256; byte++) {
    const char = String.fromCharCode(byte)
    if (parse(around(char)).kind === kind) found.push(char)
  }
  return found.join("")
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
const DIGITS = "0123456789"
const sorted = (text: string) => [...text].sort().join("")
const TOKEN = sorted(`!#$%&'*+-.^_\`|~${DIGITS}${LETTERS}${LETTERS.toLowerCase()}`)
const bytes = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => String.fromCharCode(from + i)).join("")

describe("every byte value", () => {
  test("in a method: token bytes pass, everything else is refused", () => {
    // A space ends the method: what follows is another target.
    expect(valuesThat("complete", (byte) => head("/x", HOST, `G${byte}T`))).toBe(TOKEN)
    expect(valuesThat("bad", (byte) => head("/x", HOST, `G${byte}T`))).toHaveLength(256 - TOKEN.length)
    expect(valuesThat("complete", (byte) => head("/x", HOST, byte))).toBe(TOKEN)
  })

  test("in a target: bytes of a URI pass, controls and space are refused, the rest is for the other door", () => {
    const uri = sorted(`!$&'()*+,-./:;=?@_~%|[]#${DIGITS}${LETTERS}${LETTERS.toLowerCase()}`)
    expect(valuesThat("complete", (byte) => head(`/a${byte}b`))).toBe(uri)
    expect(valuesThat("not_plain", (byte) => head(`/a${byte}b`))).toBe(sorted(`"<>\\^\`{}${bytes(128, 255)}`))
    expect(valuesThat("bad", (byte) => head(`/a${byte}b`))).toBe(`${bytes(0, 32)}\x7f`)
    expect(valuesThat("bad", (byte) => head(byte))).toBe(`${bytes(0, 32)}\x7f`)
  })

  test("in a version: only another minor digit is for the other door, everything else is refused", () => {
    for (let i = 0; i < "HTTP/1.1".length; i++) {
      const around = (byte: string) =>
        head("/x", HOST, "GET", `${"HTTP/1.1".slice(0, i)}${byte}${"HTTP/1.1".slice(i + 1)}`)
      expect(valuesThat("complete", around)).toBe("HTTP/1.1"[i]!)
      expect(valuesThat("not_plain", around)).toBe(i === 7 ? "023456789" : "")
    }
  })

  test("between the version and its CRLF, and in place of either: nothing passes", () => {
    expect(valuesThat("complete", (byte) => `GET / HTTP/1.1${byte}\r\n${HOST}\r\n`)).toBe("")
    expect(valuesThat("complete", (byte) => `GET / HTTP/1.1${byte}\n${HOST}\r\n`)).toBe("\r")
    expect(valuesThat("complete", (byte) => `GET / HTTP/1.1\r${byte}${HOST}\r\n`)).toBe("\n")
  })

  test("[F-13] before a head: nothing passes that is not of a method, not even an empty line", () => {
    expect(valuesThat("complete", (byte) => byte + head())).toBe(TOKEN)
    expect(parse(`\r\n${head()}`).kind).toBe("bad")
  })

  test("[F-9] in a name: token bytes pass; a colon ends it", () => {
    expect(valuesThat("complete", (byte) => head("/x", `${HOST}A${byte}B: c\r\n`))).toBe(sorted(`${TOKEN}:`))
    expect(valuesThat("complete", (byte) => head("/x", `${HOST}${byte}: c\r\n`))).toBe(TOKEN)
    expect(valuesThat("complete", (byte) => head("/x", `${HOST}A${byte}: c\r\n`))).toBe(sorted(`${TOKEN}:`))
  })

  test("[F-9] in a value: tab, space, visible and 8-bit bytes pass", () => {
    const text = `\t${bytes(32, 126)}${bytes(128, 255)}`
    expect(valuesThat("complete", (byte) => head("/x", `${HOST}A: b${byte}c\r\n`))).toBe(text)
    expect(valuesThat("complete", (byte) => head("/x", `${HOST}A:${byte}\r\n`))).toBe(text)
    expect(valuesThat("complete", (byte) => head("/x", `${HOST}A: b\r${byte}`) + HOST)).toBe("\n")
  })

  test("in place of a line's CR or LF: nothing else passes", () => {
    expect(valuesThat("complete", (byte) => head("/x", `A: b${byte}\n${HOST}`))).toBe("\r")
    expect(valuesThat("complete", (byte) => head("/x", `A: b\r${byte}${HOST}`))).toBe("\n")
    expect(valuesThat("complete", (byte) => `GET / HTTP/1.1\r\n${HOST}${byte}\n`)).toBe("\r")
    expect(valuesThat("complete", (byte) => `GET / HTTP/1.1\r\n${HOST}\r${byte}`)).toBe("\n")
  })

  test("in a content-length: digits, and spaces around them", () => {
    const around = (value: string) => head("/x", `${HOST}Content-Length: ${value}\r\n`)
    expect(valuesThat("complete", (byte) => around(`1${byte}2`))).toBe(DIGITS)
    expect(valuesThat("complete", (byte) => around(byte))).toBe(DIGITS)
    expect(valuesThat("complete", (byte) => around(`1${byte}`))).toBe(` ${DIGITS}`)
  })

  test("in a transfer-encoding: nothing but chunked, in any case, and spaces around it", () => {
    const around = (value: string) => head("/x", `${HOST}Transfer-Encoding:${value}\r\n`)
    expect(valuesThat("complete", (byte) => around(`chunke${byte}`))).toBe("Dd")
    expect(valuesThat("complete", (byte) => around(`chunked${byte}`))).toBe(" ")
    expect(valuesThat("complete", (byte) => around(`${byte}chunked`))).toBe(" ")
  })
})

describe("limits", () => {
  const filled = (size: number) => head("/x", `${HOST}A: ${"b".repeat(size - head().length - 5)}\r\n`)

  test("a head of exactly the bytes allowed passes, one more does not", () => {
    expect(filled(MAX_BYTES)).toHaveLength(MAX_BYTES)
    expect(parse(filled(MAX_BYTES)).kind).toBe("complete")
    expect(parse(filled(MAX_BYTES + 1))).toMatchObject({ kind: "bad", tooLarge: true })
  })

  test("too large is known before the head is complete, and what follows a head does not count", () => {
    expect(parse(filled(MAX_BYTES + 3).slice(0, -2))).toMatchObject({ kind: "bad", tooLarge: true })
    expect(parse(filled(MAX_BYTES + 2).slice(0, -2)).kind).toBe("incomplete")
    expect(parse(head() + "b".repeat(MAX_BYTES)).kind).toBe("complete")
  })

  test("so many fields pass, one more is too many", () => {
    const lines = (count: number) => head("/x", HOST + "a:\r\n".repeat(count - 1))
    expect(complete(lines(MAX_REQUEST_FIELDS)).fields.size).toBe(MAX_REQUEST_FIELDS)
    expect(parse(lines(MAX_REQUEST_FIELDS + 1))).toMatchObject({ kind: "bad", tooLarge: true })
  })

  test("a method has 1 to 32 letters", () => {
    expect(complete(head("/x", HOST, "M".repeat(32))).method).toBe("M".repeat(32))
    expect(parse(head("/x", HOST, "M".repeat(33))).kind).toBe("bad")
    expect(parse("M".repeat(32)).kind).toBe("incomplete")
    expect(parse("M".repeat(33)).kind).toBe("bad")
    expect(parse(head("/x", HOST, "")).kind).toBe("bad")
  })

  test("a content-length has 1 to 15 digits", () => {
    const length = (digits: string) => head("/x", `${HOST}Content-Length: ${digits}\r\n`)
    expect(complete(length("9".repeat(15))).fields.contentLength).toBe(999_999_999_999_999)
    expect(complete(length("007")).fields.contentLength).toBe(7)
    for (const bad of ["", "9".repeat(16), "0".repeat(16)]) expect(parse(length(bad)).kind).toBe("bad")
  })
})

const WHOLE = [
  head(),
  head("/a?b=c", `${HOST}Content-Length: 5\r\nConnection: close, x-b\r\n`, "POST"),
  head("/a", `${HOST}transfer-encoding:chunked\r\nX-Empty:\r\nX-Tab: \ta\t\r\n`, "PUT"),
]

describe("splits", () => {
  test("what is cut anywhere is incomplete, never refused and never complete", () => {
    for (const text of WHOLE) {
      for (let at = 0; at < text.length; at++) expect(parse(text.slice(0, at)).kind).toBe("incomplete")
    }
  })

  test("a head in two reads, cut anywhere, is the head in one, with what follows it", () => {
    for (const text of WHOLE) {
      const whole = Buffer.from(`${text}rest`, "latin1")
      for (let at = 1; at < whole.length; at++) {
        const held = new HeldHead()
        const first = held.join(whole.subarray(0, at), MAX_BYTES)!
        if (parseRequestHead(first, MAX_BYTES).kind === "complete") continue
        held.keep(first, 0)
        const joined = held.join(whole.subarray(at), MAX_BYTES)
        expect(joined?.latin1Slice()).toBe(whole.latin1Slice())
        expect([held.some, parseRequestHead(joined!, MAX_BYTES)]).toMatchObject([
          false,
          { kind: "complete", headEnd: text.length },
        ])
      }
    }
  })
})

describe("framing", () => {
  for (const [what, fields] of Object.entries({
    "two lengths that differ": "Content-Length: 1\r\nContent-Length: 2\r\n",
    "two equal lengths": "Content-Length: 1\r\nContent-Length: 1\r\n",
    "length and coding": "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
    "coding and length": "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
    "two codings": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
    "a tab beside a length": "Content-Length:\t1\r\n",
    "a tab beside a coding": "Transfer-Encoding: chunked\t\r\n",
    "a folded line": "A: b\r\n c\r\n",
  })) {
    test(`${what} is refused`, () => expect(parse(head("/x", HOST + fields)).kind).toBe("bad"))
  }

  test("what is said of connection and framing is read", () => {
    const { fields } = complete(head("/x", `${HOST}Connection: Close\r\nconnection: X-A , keep-alive\r\n`))
    expect([fields.close, fields.keepAlive, fields.nominated]).toEqual([true, true, ["x-a"]])
    expect(complete(WHOLE[1]!).fields.contentLength).toBe(5)
    expect(complete(WHOLE[2]!).fields.chunked).toBe(true)
  })
})
