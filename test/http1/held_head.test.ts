import { describe, expect, test } from "bun:test"
import { HeldHead } from "../../src/http1/held_head.ts"
import { parseRequestHead } from "../../src/http1/request_head.ts"
import { HeadReader } from "../../src/upstream/head_reader.ts"

const MAX_BYTES = 16_384
const LINE = "X-Some-Name: some value\r\n"

/** Feeds the pieces as a connection would; tells what came out, after how many of them, and how much was scanned. */
function feed(pieces: Iterable<string>) {
  const held = new HeldHead()
  let scanned = 0
  let taken = 0
  for (const piece of pieces) {
    taken++
    const bytes = held.join(Buffer.from(piece, "latin1"), MAX_BYTES)
    if (bytes === undefined) continue
    scanned += bytes.length
    const found = parseRequestHead(bytes, MAX_BYTES)
    if (found.kind !== "incomplete") return { kind: found.kind, taken, scanned, held }
    held.keep(bytes, 0)
  }
  return { kind: "incomplete", taken, scanned, held }
}

test("byte by byte it is given out at each line's end, at its own, and beyond the limit", () => {
  const held = new HeldHead()
  held.keep(Buffer.from("G"), 0)
  const text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
  const out: string[] = []
  for (const char of text.slice(1)) {
    const joined = held.join(Buffer.from(char), MAX_BYTES)
    if (joined === undefined) continue
    out.push(joined.latin1Slice())
    if (joined.length < text.length) held.keep(joined, 0)
  }
  expect(out).toEqual([text.slice(0, 16), text.slice(0, 25), text])
  held.keep(Buffer.alloc(MAX_BYTES, "a"), 0)
  expect(held.join(Buffer.from("a"), MAX_BYTES)).toHaveLength(MAX_BYTES + 1)
})

test("what was kept can be dropped, and kept from within a read", () => {
  const held = new HeldHead()
  held.keep(Buffer.from("xxGET"), 2)
  expect(held.some).toBe(true)
  held.drop()
  expect(held.some).toBe(false)
  held.keep(Buffer.from("xxGET"), 2)
  expect(held.join(Buffer.from(" / \r\n\r\n"), MAX_BYTES)?.latin1Slice()).toBe("GET / \r\n\r\n")
})

describe("a head that cannot be mended is refused at the end of the line that says so", () => {
  const start = "GET / HTTP/1.1\r\nHost: a\r\n"
  for (const [what, broken] of Object.entries({
    "a space before the colon": "X-A : 1\r\n",
    "a control byte": "X-A: \x01\r\n",
    "a line that ends with LF": "X-A: 1\n",
    "a folded line": " folded\r\n",
    "a length that is none": "Content-Length: five\r\n",
    "a second length": "Content-Length: 1\r\nContent-Length: 1\r\n",
  })) {
    test(what, () => {
      expect(feed(start + broken)).toMatchObject({ kind: "bad", taken: (start + broken).length })
      expect(feed([start.slice(0, 20), start.slice(20) + broken])).toMatchObject({ kind: "bad", taken: 2 })
    })
  }

  test("also in the twentieth line, however they come", () => {
    const text = `${start}${LINE.repeat(20)}X-A : 1\r\n`
    expect(feed(text)).toMatchObject({ kind: "bad", taken: text.length })
    const lines = text.split(/(?<=\r\n)/)
    expect(feed(lines)).toMatchObject({ kind: "bad", taken: lines.length })
  })

  test("in an answer too, behind interim ones", () => {
    const reader = new HeadReader(MAX_BYTES)
    const pieces = ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2", "00 OK\r\nX-A: 1\r\nX", "-B : 1\r\n"]
    const kinds = pieces.map((piece) => reader.read(Buffer.from(piece)).kind)
    expect(kinds).toEqual(["incomplete", "incomplete", "bad"])
  })
})

test("[F-18] a head line by line or byte by byte costs a multiple of its size, not the square", () => {
  const text = `GET / HTTP/1.1\r\n${"X: 1\r\n".repeat(190)}`
  const long = `GET / HTTP/1.1\r\n${`X: ${"v".repeat(75)}\r\n`.repeat(190)}`
  for (const each of [text, long]) {
    for (const pieces of [each, each.split(/(?<=\r\n)/)]) {
      const { kind, scanned } = feed(pieces)
      expect(kind).toBe("incomplete")
      expect(scanned / each.length).toBeLessThan(17.1)
    }
  }
})

test("the next head begins anew, whatever the one before it cost", () => {
  const text = `GET / HTTP/1.1\r\n${LINE.repeat(100)}\r\n`
  const { kind, held } = feed(text)
  expect(kind).toBe("complete")
  held.keep(Buffer.from("GET / HTTP/1.1"), 0)
  expect(held.join(Buffer.from("\r\n"), MAX_BYTES)).toHaveLength(16)
})
