import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { MAX_RESPONSE_FIELDS, parseResponseHead, type ResponseHead } from "../../src/http1/head.ts"
import { freeAround } from "../../src/lib/free_bytes.ts"
import { takeOut } from "../../src/lib/take_out.ts"
import { HeadReader } from "../../src/upstream/head_reader.ts"

const bytes = (text: string) => Buffer.from(text, "latin1")
const parse = (text: string, maxBytes = 16_384) => parseResponseHead(bytes(text), maxBytes)

function complete(text: string): ResponseHead {
  const head = parse(text)
  if (head.kind !== "complete") throw new Error(`not complete: ${JSON.stringify(head)}`)
  return head
}

const ONE =
  "HTTP/1.1 200 OK\r\nServer: a\r\nX-Two: 1\r\nset-cookie: a=1\r\nx-two:\t2 \r\nSet-Cookie: b=2\r\n\r\n"

test("a head gives status, version, end and fields with names in lower case", () => {
  const head = complete(`${ONE}body`)
  expect(head.status).toBe(200)
  expect(head.minor).toBe(1)
  expect(head.headEnd).toBe(ONE.length)
  expect(head.fields.get("server")).toBe("a")
  expect(head.fields.get("x-two")).toBe("1, 2")
  expect(head.fields.get("Server")).toBeUndefined()
  expect(head.fields.flat()).toEqual([
    "server",
    "a",
    "x-two",
    "1",
    "set-cookie",
    "a=1",
    "x-two",
    "2",
    "set-cookie",
    "b=2",
  ])
})

test("a head lets go of the large read it came in, and is whole afterwards", () => {
  const bytes = Buffer.alloc(20_000, "x")
  bytes.write(ONE)
  const head = parseResponseHead(bytes, 16_384) as ResponseHead
  const body = takeOut(bytes, head.headEnd, bytes.length)
  expect(head.fields.letGoOf(body)).toBe(true)
  freeAround(body)
  expect([body.length, bytes.length]).toEqual([0, 0])
  expect(head.fields.get("x-two")).toBe("1, 2")
  const out = Buffer.alloc(200)
  const end = head.fields.copy(out, 0, new Set(["server", "x-two"]))
  expect(out.latin1Slice(0, end)).toBe("set-cookie: a=1\r\nSet-Cookie: b=2\r\n")
})

test("what is small, or lies elsewhere than its head, is left alone", () => {
  const { fields, headEnd } = complete(`${ONE}body`)
  expect(fields.letGoOf(new Uint8Array(20_000))).toBe(false)
  const small = Buffer.from(`${ONE}${"x".repeat(2000)}`)
  const head = parseResponseHead(small, 16_384) as ResponseHead
  expect(head.fields.letGoOf(takeOut(small, headEnd, small.length))).toBe(false)
})

test("values are opaque bytes, decoded as latin1", () => {
  expect(complete("HTTP/1.1 200 \xff\r\nx: \xe9\x80\r\n\r\n").fields.get("x")).toBe("\xe9\x80")
})

test("cookie lines are joined as cookies", () => {
  expect(complete("HTTP/1.1 200\r\ncookie: a=1\r\ncookie: b=2\r\n\r\n").fields.get("cookie")).toBe("a=1; b=2")
})

test("a copy keeps whole lines as they came and leaves out the dropped names", () => {
  const out = Buffer.alloc(200)
  const end = complete(ONE).fields.copy(out, 3, new Set(["x-two"]))
  expect(out.latin1Slice(3, end)).toBe("Server: a\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\n")
  expect(complete(ONE).fields.copy(out, 7, new Set(["server", "x-two", "set-cookie"]))).toBe(7)
})

test("a copy that does not fit throws", () => {
  expect(() => complete(ONE).fields.copy(Buffer.alloc(20), 0, new Set())).toThrow(RangeError)
})

test.each([
  ["HTTP/1.1 200 OK\r\n\r\n", true],
  ["HTTP/1.1 200 OK\r\nConnection: CLOSE\r\n\r\n", false],
  ["HTTP/1.1 200 OK\r\nConnection: keep-alive, x-a , close\r\n\r\n", false],
  ["HTTP/1.0 200 OK\r\n\r\n", false],
  ["HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", true],
  ["HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nconnection: close\r\n\r\n", false],
])("whether a connection persists is read from %j", (text, persistent) => {
  expect(complete(text).persistent).toBe(persistent)
})

test("names nominated by connection are told", () => {
  const { fields } = complete("HTTP/1.1 200 OK\r\nConnection: close, X-A\r\nConnection: ,x-b\r\n\r\n")
  expect(fields.nominated).toEqual(["x-a", "x-b"])
})

const line = (field: string) => `HTTP/1.1 200 OK\r\n${field}\r\n\r\n`

describe("[F-33] refused heads", () => {
  test.each([
    ["HTTP/0.9", "<html>hello"],
    ["a lower-case protocol", "http/1.1 200 OK\r\n\r\n"],
    ["HTTP/2.0", "HTTP/2.0 200 OK\r\n\r\n"],
    ["HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n"],
    ["an empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n"],
    ["two spaces before the status", "HTTP/1.1  200 OK\r\n\r\n"],
    ["status 000", "HTTP/1.1 000 OK\r\n\r\n"],
    ["status 099", "HTTP/1.1 099 OK\r\n\r\n"],
    ["status 99", "HTTP/1.1 99 OK\r\n\r\n"],
    ["status 600", "HTTP/1.1 600 OK\r\n\r\n"],
    ["status 2000", "HTTP/1.1 2000 OK\r\n\r\n"],
    ["status 2x0", "HTTP/1.1 2x0 OK\r\n\r\n"],
    ["NUL in the phrase", "HTTP/1.1 200 O\0K\r\n\r\n"],
    ["LF alone after the status line", "HTTP/1.1 200 OK\na: b\r\n\r\n"],
    ["CR alone in the phrase", "HTTP/1.1 200 OK\rX\r\n\r\n"],
    ["a folded line", line("a: b\r\n c")],
    ["a line folded with a tab", line("a: b\r\n\tc")],
    ["a folded first line", line(" a: b")],
    ["no colon", line("abc")],
    ["space before the colon", line("a : b")],
    ["no name", line(": b")],
    ["a space in the name", line("a b: c")],
    ["8 bits in the name", line("\xe9: c")],
    ["NUL in the name", line("a\0: c")],
    ["NUL in a value", line("a: b\0c")],
    ["DEL in a value", line("a: b\x7fc")],
    ["vertical tab in a value", line("a: \x0bb")],
    ["CR alone in a value", line("a: b\rc: d")],
    ["LF alone in a value", line("a: b\nc: d")],
    ["LF alone at the end of the head", "HTTP/1.1 200 OK\r\na: b\r\n\nx"],
    ["CR without LF at the end of the head", "HTTP/1.1 200 OK\r\na: b\r\n\rx"],
    ["both framings", line("content-length: 5\r\ntransfer-encoding: chunked")],
    ["both framings, the other way round", line("transfer-encoding: chunked\r\ncontent-length: 5")],
    ["two differing lengths", line("content-length: 5\r\ncontent-length: 6")],
    ["two equal lengths", line("content-length: 5\r\nContent-Length: 5")],
    ["a list of lengths", line("content-length: 5, 5")],
    ["a negative length", line("content-length: -5")],
    ["a signed length", line("content-length: +5")],
    ["a hexadecimal length", line("content-length: 0x5")],
    ["an empty length", line("content-length: ")],
    ["a length of spaces", line("content-length:   ")],
    ["a coding of spaces", line("transfer-encoding:   ")],
    ["a length in words", line("content-length: five")],
    ["a length beyond 2^64", line("content-length: 18446744073709551621")],
    ["a length of 16 digits", line("content-length: 1000000000000000")],
    ["two codings", line("transfer-encoding: gzip, chunked")],
    ["another coding", line("transfer-encoding: identity")],
    ["chunked twice", line("transfer-encoding: chunked\r\ntransfer-encoding: chunked")],
    ["chunked with a parameter", line("transfer-encoding: chunked;q=1")],
    ["an empty coding", line("transfer-encoding:")],
    ["chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"],
    [
      "too many fields",
      line(
        Array(MAX_RESPONSE_FIELDS + 1)
          .fill("a: b")
          .join("\r\n"),
      ),
    ],
  ])("%s", (_name, text) => {
    const head = parse(text)
    expect(head.kind).toBe("bad")
    // The verdict must not depend on where the bytes were cut.
    const reader = new HeadReader(16_384)
    let last: { kind: string } = { kind: "incomplete" }
    for (let i = 0; i < text.length && last.kind === "incomplete"; i++) last = reader.read(bytes(text[i]!))
    // What has no complete head in it may stay incomplete: deadline and size bound it.
    expect(last.kind).not.toBe("complete")
  })
})

test("[F-33] a head over the bound is refused, complete or not", () => {
  const head = `HTTP/1.1 200 OK\r\na: ${"b".repeat(1000)}\r\n\r\n`
  expect(parse(head, head.length).kind).toBe("complete")
  expect(parse(head, head.length - 1)).toEqual({ kind: "bad", reason: "head too large", tooLarge: true })
  expect(parse(head.slice(0, 900), 899).kind).toBe("bad")
  expect(parse(head.slice(0, 899), 899).kind).toBe("incomplete")
})

test("[F-34] interim responses are passed over, 16 at most", () => {
  const interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
  const final = "HTTP/1.1 204 No Content\r\n\r\n"
  expect(new HeadReader(1000).read(bytes(interim.repeat(16) + final))).toMatchObject({ status: 204 })
  expect(new HeadReader(1000).read(bytes(interim.repeat(17) + final)).kind).toBe("bad")
})

test("[F-32] switching protocols unasked is refused", () => {
  expect(new HeadReader(1000).read(bytes("HTTP/1.1 101 Switching Protocols\r\n\r\n")).kind).toBe("bad")
})

test("a head cut in two at any byte is the same head", () => {
  const text = `HTTP/1.1 100 Continue\r\n\r\n${ONE}`
  for (let cut = 1; cut < text.length; cut++) {
    const reader = new HeadReader(1000)
    expect(reader.read(bytes(text.slice(0, cut))).kind).toBe("incomplete")
    const head = reader.read(bytes(`${text.slice(cut)}rest`)) as ResponseHead
    expect(head.fields.flat()).toEqual(complete(ONE).fields.flat())
    expect(reader.bytes.latin1Slice(head.headEnd)).toBe("rest")
  }
})

test("a head of 60 KB that comes byte by byte is scanned once", () => {
  const text = `HTTP/1.1 200 OK\r\n${`a: ${"b".repeat(500)}\r\n`.repeat(120)}\r\n`
  const reader = new HeadReader(65_536)
  const started = performance.now()
  let last: { kind: string } = { kind: "incomplete" }
  for (const byte of bytes(text)) last = reader.read(Buffer.of(byte))
  expect(last.kind).toBe("complete")
  expect(performance.now() - started).toBeLessThan(5000)
})

test("whatever changes in a head, the scanner neither throws nor reads past the end", () => {
  const alphabet = fc.constantFrom(..."\0\t\n\r :,;a0\x7f\x80\xff")
  const change = fc.tuple(fc.nat(ONE.length - 1), alphabet, fc.nat(2))
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
      let text = ONE
      for (const [at, char, cut] of changes) text = text.slice(0, at) + char + text.slice(at + cut)
      const head = parse(text)
      if (head.kind !== "complete") return
      expect(head.headEnd).toBeLessThanOrEqual(text.length)
      expect(text.slice(head.headEnd - 4, head.headEnd)).toBe("\r\n\r\n")
      const flat = head.fields.flat()
      expect(flat.length).toBe(text.slice(0, head.headEnd).split("\r\n").length * 2 - 6)
      for (const [i, part] of flat.entries())
        expect(part).toMatch(i % 2 ? /^[\t\x20-\x7e\x80-\xff]*$/ : /^[!-~]+$/)
    }),
    { numRuns: 3000, seed: 33 },
  )
})
