import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import {
  type BodyDecoder,
  ChunkedDecoder,
  CloseDecoder,
  LengthDecoder,
  writeChunkSize,
} from "../../src/http1/framing.ts"

interface Decoded {
  body: string
  /** "done", "more" or "broken". */
  state: string
  /** Bytes after the end of the message. */
  extra: string
}

/** Decodes the parts one after the other, as reads from a socket. */
function decode(decoder: BodyDecoder, parts: readonly string[]): Decoded {
  let body = ""
  let extra = ""
  for (const part of parts) {
    if (decoder.done) {
      extra += part
      continue
    }
    const bytes = Buffer.from(part, "latin1")
    const end = decoder.decode(bytes, 0)
    if (end < 0) return { body, state: "broken", extra }
    body += bytes.latin1Slice(decoder.start, decoder.end)
    extra += bytes.latin1Slice(end)
  }
  return { body, state: decoder.done ? "done" : "more", extra }
}

const chunked = (...parts: string[]) => decode(new ChunkedDecoder(), parts)

const CHUNKS = '5\r\nhello\r\n1;a="b c"\r\n,\r\n006\r\n world\r\n0\r\nx-sum: 1\r\n\r\n'

test("chunks are joined, extensions and trailers dropped", () => {
  expect(chunked(CHUNKS)).toEqual({ body: "hello, world", state: "done", extra: "" })
})

test("decoding starts where it is told and leaves the bytes before it alone", () => {
  const bytes = Buffer.from(`head${CHUNKS}extra`)
  const decoder = new ChunkedDecoder()
  expect(decoder.decode(bytes, 4)).toBe(4 + CHUNKS.length)
  expect(bytes.latin1Slice(decoder.start, decoder.end)).toBe("hello, world")
  expect(bytes.latin1Slice(0, 4)).toBe("head")
  expect(bytes.latin1Slice(4 + CHUNKS.length)).toBe("extra")
})

test("[F-34] a chunked body cut anywhere in three gives the same bytes", () => {
  for (let a = 0; a <= CHUNKS.length; a++) {
    for (let b = a; b <= CHUNKS.length; b += 3) {
      const parts = [CHUNKS.slice(0, a), CHUNKS.slice(a, b), `${CHUNKS.slice(b)}HTTP/1.1`]
      expect(chunked(...parts)).toEqual({ body: "hello, world", state: "done", extra: "HTTP/1.1" })
    }
  }
})

test("[F-31] a chunked body is not done before its last byte", () => {
  for (let cut = 0; cut < CHUNKS.length; cut++) expect(chunked(CHUNKS.slice(0, cut)).state).toBe("more")
})

describe("[F-5] broken chunk framing", () => {
  test.each([
    ["no size", "\r\nhello\r\n0\r\n\r\n"],
    ["a size with 0x", "0x5\r\nhello\r\n"],
    ["a signed size", "+5\r\nhello\r\n"],
    ["a negative size", "-5\r\nhello\r\n"],
    ["an underscore", "1_0\r\nhello\r\n"],
    ["a space before the size", " 5\r\nhello\r\n"],
    ["a space after the size", "5 \r\nhello\r\n"],
    ["a letter that is no digit", "g\r\nhello\r\n"],
    ["a size beyond 2^64", "10000000000000005\r\nhello\r\n"],
    ["a size of 13 digits", "0000000000005\r\nhello\r\n"],
    ["LF alone after the size", "5\nhello\r\n"],
    ["CR alone after the size", "5\rhello\r\n"],
    ["data longer than its size", "4\r\nhello\r\n"],
    ["data shorter than its size", "6\r\nhello\r\n0\r\n\r\n"],
    ["LF alone after the data", "5\r\nhello\n0\r\n\r\n"],
    ["no line end after the data", "5\r\nhello0\r\n\r\n"],
    ["an extension without a name", "5;\r\nhello\r\n"],
    ["an extension without a value", "5;a=\r\nhello\r\n"],
    ["two values", "5;a=b=c\r\nhello\r\n"],
    ["a quote that does not end", '5;a="b\r\nhello\r\n'],
    ["a token after a quote", '5;a="b"c\r\nhello\r\n'],
    ["a space in an extension", "5;a b\r\nhello\r\n"],
    ["LF in an extension", "5;a\nb\r\nhello\r\n"],
    ["NUL in an extension", "5;a\0b\r\nhello\r\n"],
    ["CR in an extension", "5;a\rb\r\nhello\r\n"],
    ["an endless extension", `5;${"a".repeat(20_000)}`],
    ["LF alone after the last chunk", "0\n\n"],
    ["garbage after the last chunk", "0\r\nGET / HTTP/1.1\r\n\r\n"],
    ["a trailer without a colon", "0\r\nabc\r\n\r\n"],
    ["a folded trailer", "0\r\na: b\r\n c\r\n\r\n"],
    ["NUL in a trailer", "0\r\na: \0\r\n\r\n"],
    ["endless trailers", `0\r\n${"a: b\r\n".repeat(2000)}`],
    ["CR alone at the end", "0\r\n\rX"],
  ])("%s", (_name, text) => {
    expect(chunked(text).state).toBe("broken")
    expect(chunked(...text).state).toBe("broken")
  })
})

test("names, tokens and quoted strings with escapes are read over as extensions", () => {
  expect(chunked('2;a;b=c;d="\\";\t";e\r\nhi\r\n0;f=1\r\n\r\n')).toEqual({
    body: "hi",
    state: "done",
    extra: "",
  })
})

test("sizes in either case are read", () => {
  expect(chunked(`1A\r\n${"x".repeat(26)}\r\n1a\r\n${"y".repeat(26)}\r\n0\r\n\r\n`).body.length).toBe(52)
})

test("whatever is encoded in chunks and cut at random decodes to the same bytes", () => {
  const text = fc
    .string({ unit: "binary", minLength: 1, maxLength: 40 })
    .map((s) => Buffer.from(s).latin1Slice())
  fc.assert(
    fc.property(
      fc.array(text, { maxLength: 8 }),
      fc.array(fc.nat(400), { maxLength: 10 }),
      (chunks, cuts) => {
        const out = Buffer.alloc(20)
        let wire = ""
        for (const chunk of chunks)
          wire += `${out.latin1Slice(0, writeChunkSize(out, 0, chunk.length))}${chunk}\r\n`
        wire += "0\r\n\r\n"
        const at = [...new Set(cuts.map((cut) => Math.min(cut, wire.length)))].sort((a, b) => a - b)
        const parts = [...at, wire.length].map((cut, i) => wire.slice(at[i - 1] ?? 0, cut))
        expect(chunked(...parts)).toEqual({ body: chunks.join(""), state: "done", extra: "" })
      },
    ),
    { numRuns: 1000, seed: 5 },
  )
})

test("a changed chunked body never throws, and gives the same verdict whole and byte by byte", () => {
  const change = fc.tuple(fc.nat(CHUNKS.length - 1), fc.constantFrom(..."\0\n\r ;:0a5F\xff"), fc.nat(2))
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      let text = CHUNKS
      for (const [at, char, cut] of changes) text = text.slice(0, at) + char + text.slice(at + cut)
      const whole = chunked(text)
      const apart = chunked(...text)
      expect(apart.state).toBe(whole.state)
      if (whole.state !== "broken") expect(apart).toEqual(whole)
    }),
    { numRuns: 3000, seed: 6 },
  )
})

test("[F-32] a body of known length ends there, extra bytes are told", () => {
  expect(decode(new LengthDecoder(5), ["he", "llo!"])).toEqual({ body: "hello", state: "done", extra: "!" })
  expect(decode(new LengthDecoder(0), [])).toEqual({ body: "", state: "done", extra: "" })
  expect(decode(new LengthDecoder(5), ["he"]).state).toBe("more")
})

test("a close-delimited body is all there is and ends with its connection only", () => {
  expect(decode(new CloseDecoder(), ["he", "llo"])).toEqual({ body: "hello", state: "more", extra: "" })
  expect(new CloseDecoder().endsWithConnection).toBe(true)
  expect(new LengthDecoder(1).endsWithConnection).toBe(false)
  expect(new ChunkedDecoder().endsWithConnection).toBe(false)
})
