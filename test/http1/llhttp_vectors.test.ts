import { describe, expect, test } from "bun:test"
import { bodyDecoder, ChunkedDecoder, LengthDecoder } from "../../src/http1/framing.ts"
import { parseResponseHead } from "../../src/http1/head.ts"
import { parseRequestHead } from "../../src/http1/request_head.ts"

// The inputs that llhttp (Node's parser, MIT licence) is tested with, and what is to become of each here. Where llhttp
// in its strict mode says otherwise, the reason stands beside it. Host fields are left out as they are there: that one
// is missing is found later, by the door.

type Verdict = "accept" | "refuse" | "incomplete" | "other door"

interface Judged {
  readonly verdict: Verdict
  readonly body: string
  /** What follows the message. */
  readonly rest: string
}

const NONE = { body: "", rest: "" }

function judgeRequest(text: string): Judged {
  const bytes = Buffer.from(text, "latin1")
  const head = parseRequestHead(bytes, 16_384)
  if (head.kind === "incomplete") return { verdict: "incomplete", ...NONE }
  if (head.kind === "bad") return { verdict: "refuse", ...NONE }
  if (head.kind === "not_plain" || head.fields.get("upgrade") !== undefined)
    return { verdict: "other door", ...NONE }
  const { chunked, contentLength } = head.fields
  return judgeBody(
    bytes,
    head.headEnd,
    chunked ? new ChunkedDecoder() : new LengthDecoder(contentLength ?? 0),
  )
}

function judgeResponse(text: string, method = "GET"): Judged {
  const bytes = Buffer.from(text, "latin1")
  const head = parseResponseHead(bytes, 16_384)
  if (head.kind === "incomplete") return { verdict: "incomplete", ...NONE }
  if (head.kind === "bad") return { verdict: "refuse", ...NONE }
  const decoder = head.status < 200 ? undefined : bodyDecoder(head, method)
  if (decoder === undefined) return { verdict: "accept", body: "", rest: bytes.latin1Slice(head.headEnd) }
  return judgeBody(bytes, head.headEnd, decoder)
}

function judgeBody(bytes: Buffer, at: number, decoder: NonNullable<ReturnType<typeof bodyDecoder>>): Judged {
  const end = decoder.decode(bytes, at)
  if (end < 0) return { verdict: "refuse", ...NONE }
  const body = bytes.latin1Slice(decoder.start, decoder.end)
  const whole = decoder.done || decoder.endsWithConnection
  return { verdict: whole ? "accept" : "incomplete", body, rest: bytes.latin1Slice(end) }
}

interface Vector {
  readonly in: string
  readonly verdict: Verdict
  readonly body?: string
  readonly rest?: string
}

const lines = (...all: string[]) => all.join("\r\n")
/** A request of this line and these fields, and what follows its head. */
const head = (...all: string[]) => `${lines(...all)}\r\n\r\n`
const accept = (input: string, body = "", rest = ""): Vector => ({ in: input, verdict: "accept", body, rest })
const refuse = (input: string): Vector => ({ in: input, verdict: "refuse" })
const otherDoor = (input: string): Vector => ({ in: input, verdict: "other door" })
const incomplete = (input: string): Vector => ({ in: input, verdict: "incomplete" })

const CHUNKED = head("PUT /url HTTP/1.1", "Transfer-Encoding: chunked")
const chunks = (text: string) => `${CHUNKED}${text}`

const REQUESTS: Record<string, Vector[]> = {
  methods: [
    accept(head("REPORT /test HTTP/1.1")),
    accept(
      head("M-SEARCH * HTTP/1.1", "HOST: 239.255.255.250:1900", 'MAN: "ssdp:discover"', 'ST: "ssdp:all"'),
    ),
    accept(`${head("PATCH /file.txt HTTP/1.1", "Content-Length: 10")}cccccccccc`, "cccccccccc"),
    accept(head("PURGE /file.txt HTTP/1.1")),
    accept(head("SEARCH / HTTP/1.1")),
    accept(head("LINK /images/my_dog.jpg HTTP/1.1", 'Link: <http://example.com/profiles/joe>; rel="tag"')),
    accept(head("UNLINK /images/my_dog.jpg HTTP/1.1")),
    accept(head("SOURCE /music/sweet/music HTTP/1.1")),
    accept(`${head("QUERY /contacts HTTP/1.1", "Content-Length: 6")}select`, "select"),
    // CONNECT to HTTP/1.0 pauses llhttp; here every HTTP/1.0 goes to the other door, and CONNECT has no route.
    otherDoor(head("CONNECT 0-home0.netscape.com:443 HTTP/1.0", "User-agent: Mozilla/1.1N")),
    accept(head("CONNECT foo.bar.com:443 HTTP/1.1")),
    // llhttp knows these protocols; nobody here does.
    refuse(head("SOURCE /music/sweet/music ICE/1.0")),
    refuse(head("OPTIONS /music/sweet/music RTSP/1.0")),
    refuse(head("ANNOUNCE /music/sweet/music RTSP/1.0")),
    // Any token is a method here; the route does not know it and answers 405.
    accept(head("MKCOLA / HTTP/1.1")),
    accept(head("PRI * HTTP/1.1"), "", ""),
  ],
  targets: [
    otherDoor(head('GET /with_"lovely"_quotes?foo=\\"bar\\" HTTP/1.1')),
    accept(head("GET /test.cgi?foo=bar?baz HTTP/1.1")),
    accept(head("GET http://hypnotoad.org?hail=all HTTP/1.1")),
    accept(head("GET http://hypnotoad.org:1234?hail=all HTTP/1.1")),
    accept(head("GET /test.cgi?query=| HTTP/1.1")),
    accept(head("GET http://hypnotoad.org:1234 HTTP/1.1")),
    otherDoor(head("GET /\xce\xb4\xc2\xb6/\xce\xb4t/pope?q=1#narf HTTP/1.1")),
    // A fragment is a token here; the door refuses it.
    accept(head("GET /forums/1/topics/2375?page=1#posts-17408 HTTP/1.1")),
    accept(head("GET http://a%12:b!&*$@hypnotoad.org:1234/toto HTTP/1.1")),
    refuse(head("GET /foo bar/ HTTP/1.1")),
  ],
  "connection and upgrade": [
    accept(head("PUT /url HTTP/1.1", "Connection: keep-alive")),
    accept(head("PUT /url HTTP/1.1", "Connection: close\t")),
    accept(head("PUT /url HTTP/1.1", "Connection: close, token, upgrade, token, keep-alive")),
    otherDoor(head("PUT /url HTTP/1.0")),
    refuse(head("PUT /url HTTP/1.1", "Connection: keep\ralive")),
    // llhttp drops an empty line between requests (RFC 9112 section 2.2 asks for it); it is what is left of a body
    // that was longer than it said, so here nothing follows it.
    accept(
      `${head("POST / HTTP/1.1", "Content-Length: 4")}q=42\r\n\r\nGET / HTTP/1.1`,
      "q=42",
      "\r\n\r\nGET / HTTP/1.1",
    ),
    refuse(`\r\n${head("GET / HTTP/1.1")}`),
    // llhttp unfolds.
    refuse(
      head("GET /demo HTTP/1.1", "Connection: Something,", " Upgrade, ,Keep-Alive", "Upgrade: WebSocket"),
    ),
    refuse(head("GET /demo HTTP/1.1", "Connection: keep-alive, ", " upgrade", "Upgrade: WebSocket")),
    otherDoor(
      `${head("GET /demo HTTP/1.1", "Connection: keep-alive, upgrade", "Upgrade: WebSocket")}Hot diggity`,
    ),
    refuse(head("PUT /url HTTP/1.1", "Connection : upgrade", "Content-Length: 4", "Upgrade: ws")),
    otherDoor(
      `${head("PUT /url HTTP/1.1", "Connection: upgrade", "Content-Length: 4", "Upgrade: ws")}abcdefgh`,
    ),
    otherDoor(head("POST /demo HTTP/1.1", "Connection: Upgrade", "Upgrade: HTTP/2.0", "Content-Length: 15")),
  ],
  "content-length": [
    accept(`${head("PUT /url HTTP/1.1", "Content-Length: 003")}abc`, "abc"),
    accept(`${head("PUT /url HTTP/1.1", "Content-Length: 003", "Ohai: world")}abc`, "abc"),
    refuse(head("PUT /url HTTP/1.1", "Content-Length: 1000000000000000000000")),
    refuse(head("PUT /url HTTP/1.1", "Content-Length: 1", "Content-Length: 2")),
    refuse(head("PUT /url HTTP/1.1", "Content-Length: 1", "Transfer-Encoding: identity")),
    refuse(head("PUT /url HTTP/1.1", "Connection: upgrade", "Content-Length : 4", "Upgrade: ws")),
    otherDoor(`${head("GET /get_funky HTTP/1.0", "conTENT-Length: 5")}HELLO`),
    incomplete(head("POST / HTTP/1.1", "Content-Length:  42 ")),
    // Legal, and parsers in use disagree on what a tab means there.
    refuse(head("POST / HTTP/1.1", "Content-Length:\t42\t  ")),
    refuse(head("POST / HTTP/1.1", "Content-Length: 4 2")),
    refuse(head("POST / HTTP/1.1", "Content-Length: 13 37")),
    refuse(head("POST / HTTP/1.1", "Content-Length:")),
    refuse(`${head("PUT /url HTTP/1.1", "Content\rLength: 003")}abc`),
    refuse(`${lines("PUT /url HTTP/1.1", "Content-Length: 3", "\rabc")}`),
  ],
  "chunked coding": [
    incomplete(CHUNKED),
    accept(chunks("a\r\n0123456789\r\n0\r\n\r\n"), "0123456789"),
    accept(chunks("A\r\n0123456789\r\n0\r\n\r\n"), "0123456789"),
    accept(chunks("1e\r\nall your base are belong to us\r\n0\r\n\r\n"), "all your base are belong to us"),
    accept(chunks("5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n"), "hello world"),
    accept(
      chunks("5\r\nhello\r\n6\r\n world\r\n0\r\nVary: *\r\nContent-Type: text/plain\r\n\r\n"),
      "hello world",
    ),
    accept(
      chunks(
        "5;ilovew3;somuchlove=aretheseparametersfor;another=withvalue\r\nhello\r\n6;blahblah;blah\r\n world\r\n0\r\n\r\n",
      ),
      "hello world",
    ),
    refuse(chunks("2 erfrferferf\r\naa\r\n0 rrrr\r\n\r\n")),
    refuse(chunks("2;\r\naa\r\n0\r\n\r\n")),
    accept(
      chunks(
        '5;ilovew3="I \\"love\\"; \\\\extensions\\\\";somuchlove="x";blah;foo=bar\r\nhello\r\n0\r\n\r\n',
      ),
      "hello",
    ),
    refuse(chunks('5;ilovew3="abc";somuchlove="def; ghi\r\nhello\r\n0\r\n\r\n')),
    refuse(chunks("3\r\nfoo\r\n\r\n")),
    refuse(chunks("3 \n  \r\nfoo\r\n")),
    refuse(chunks("5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\n")),
    refuse(chunks("5\r\nABCDE0\r\n\r\n")),
    refuse(chunks("a \r\n0123456789\r\n0\r\n\r\n")),
  ],
  "transfer-encoding": [
    refuse(head("PUT /url HTTP/1.1", "Transfer-Encoding: pigeons")),
    refuse(head("POST / HTTP/1.1", "Transfer-Encoding: identity", "Content-Length: 5")),
    refuse(head("POST / HTTP/1.1", "Content-Length: 10", "Transfer-Encoding:", "Transfer-Encoding:")),
    refuse(head("POST / HTTP/1.1", "Transfer-Encoding: chunked, deflate")),
    refuse(head("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Transfer-Encoding: deflate")),
    // llhttp reads these two as chunked; no service is asked to undo a coding that nobody negotiated.
    refuse(head("POST / HTTP/1.1", "Transfer-Encoding: deflate, chunked")),
    refuse(head("POST / HTTP/1.1", "Transfer-Encoding: deflate", "Transfer-Encoding: chunked")),
    refuse(head("POST / HTTP/1.1", "Transfer-Encoding: chunkedchunked")),
    refuse(head("PUT /url HTTP/1.1", "Transfer-Encoding: chunked", "  abc")),
  ],
  "what is no request": [
    refuse(head("GET /music/sweet/music IHTTP/1.0")),
    refuse(head("PUT /music/sweet/music RTSP/1.0")),
    otherDoor(head("ANNOUNCE /music/sweet/music HTTP/1.0")),
    refuse(head("GET / HTTP/1.1", "Foo: 1\rBar: 2")),
    refuse(head("POST / HTTP/1.1", "Host: localhost:5000", "x:x\nTransfer-Encoding: chunked")),
    refuse(head("GET / HTTP/1.1", "Fo@: Failure")),
    refuse(head("GET / HTTP/1.1", "Foo\x01\test: Bar")),
    refuse(head("GET / HTTP/1.1", ": Bar")),
    refuse(head("GET / HTTP/1.1", "name: value", " : other")),
    refuse(`${lines("GET / HTTP/1.1", "name\r\n :value", "")}\r\n`),
    refuse(head("GET / HTTP/5.6")),
    refuse(head("GET / HTTP/01.1")),
    refuse(head("GET / HTTP/11.1")),
    refuse(head("GET / HTTP/1.01")),
    refuse(head("GET / HTTP/1.1", " Host: foo")),
    refuse("GET / HTTP/1.1\nHost: a\n\n"),
    refuse("GET / HTTP/1.1\rLine: 1\r\n\r\n"),
    refuse(`\x16\x03\x01${head("GET / HTTP/1.1")}`),
  ],
}

const OK = "HTTP/1.1 200 OK"
const RESPONSES: Record<string, Vector[]> = {
  "status lines": [
    refuse(head("HTP/1.1 200 OK")),
    refuse(head("HTTP/01.1 200 OK")),
    refuse(head("HTTP/11.1 200 OK")),
    refuse(head("HTTP/1.01 200 OK")),
    refuse(head("HTTP/1.1\t200 OK")),
    refuse(`\r${head("HTTP/1.1\t200 OK")}`),
    refuse(head("HTTP/5.6 200 OK")),
    refuse(head("RTSP/1.1 200 OK")),
    refuse(head("ICE/1.1 200 OK")),
    refuse(head("HTTPER/1.1 200 OK")),
    refuse(head("HTTP/1.1  200 OK")),
    accept(head("HTTP/1.1 200  OK")),
    refuse(head("HTTP/1.1 2 OK")),
    accept(head("HTTP/1.1 301")),
    accept(head("HTTP/1.1 200 ")),
    refuse(`${OK}\rContent-Length: 0\r\n\r\n`),
    refuse(`${OK}\r\rContent-Length: 4\r\n\r\nEvil`),
    refuse(`${OK}\nContent-Length: 0\n\n`),
    refuse(`${OK}\nFoo: abc\nBar: def\n\nBODY\n`),
  ],
  fields: [
    refuse(head(OK, "Foo: 1\rBar: 2")),
    refuse(`${OK}\r\n Host: foo`),
    accept(head(OK, "Header1: Value1", "Header2:\t Value2", "Content-Length: 0")),
    accept(
      head(OK, "DCLK_imp: v7;x;114750856", ".et-Cookie: a=1", "_eep-Alive: timeout=45", "Content-Length: 0"),
    ),
    // llhttp unfolds an empty value; who folds may as well mean two fields.
    refuse(head("HTTP/1.0 301 Moved Permanently", "Pragma: ", " x", "Content-Length: 0")),
  ],
  bodies: [
    accept(`${head(OK, "Content-Type: text/xml", "Connection: close")}<?xml?>`, "<?xml?>"),
    accept(`${head(OK, "Content-Length-X: 0", "Transfer-Encoding: chunked")}2\r\nOK\r\n0\r\n\r\n`, "OK"),
    refuse(head(OK, "Content-Length:\t42\t")),
    accept(`${head(OK, "Content-Length:  5  ")}hello`, "hello"),
    accept(`${head(OK, "Content-Length: 11", "Proxy-Connection: close")}hello world`, "hello world"),
    accept(`${head(OK)}HTTP/1.1 200 OK`, "HTTP/1.1 200 OK"),
    accept(`${head("HTTP/1.1 204 No content")}${OK}`, "", OK),
    accept(`${head("HTTP/1.0 204 No content", "Connection: keep-alive")}${OK}`, "", OK),
    accept(`${head("HTTP/1.1 304 Not Modified", "Content-Length: 10")}${OK}`, "", OK),
    accept(`${head("HTTP/1.1 304 Not Modified", "Transfer-Encoding: chunked")}${OK}`, "", OK),
    accept(`${head("HTTP/1.1 103 Early Hints", "Link: </styles.css>; rel=preload")}${OK}`, "", OK),
    accept(`${head("HTTP/1.1 100 Continue")}${OK}`, "", OK),
    accept(`${head(OK, "Content-Length: 5", "Connection: close")}2ad731e3`, "2ad73", "1e3"),
    accept(`${head(OK, "Connection: upgrade", "Upgrade: h2c", "Content-Length: 4")}body`, "body"),
  ],
  "chunked coding": [
    refuse(`${head(OK, "Transfer-Encoding: chunked")}25  \r\nThis is the data in the first chunk\r\n\r\n`),
    // llhttp reads these until the connection ends; the service did not mean what it said.
    refuse(head(OK, "Transfer-Encoding: chunked, deflate")),
    refuse(head(OK, "Transfer-Encoding: chunked", "Transfer-Encoding: identity")),
    refuse(head(OK, "Transfer-Encoding: chunkedchunked")),
    accept(
      `${head(OK, "Transfer-encoding: chunked")}5;a;b=c\r\nhello\r\n6;d;e\r\n world\r\n0\r\n\r\n`,
      "hello world",
    ),
    refuse(`${head(OK, "Transfer-encoding: chunked")}2 erfrferferf\r\naa\r\n0 rrrr\r\n\r\n`),
    refuse(`${head(OK, "Transfer-encoding: chunked")}2;\r\naa\r\n0\r\n\r\n`),
    accept(`${head(OK, "Transfer-Encoding: chunked")}5;a="b; c";d\r\nhello\r\n0\r\n\r\n`, "hello"),
    refuse(`${head(OK, "Transfer-Encoding: chunked")}5;a="b";c="d; e\r\nhello\r\n0\r\n\r\n`),
    refuse(head(OK, "Transfer-Encoding: chunked", "  abc")),
  ],
}

for (const [kind, groups, judge] of [
  ["requests", REQUESTS, judgeRequest],
  ["responses", RESPONSES, judgeResponse],
] as const) {
  for (const [group, vectors] of Object.entries(groups)) {
    describe(`${kind}: ${group}`, () => {
      for (const vector of vectors) {
        test(JSON.stringify(vector.in.slice(0, 100)), () => {
          const { in: input, ...expected } = vector
          expect(judge(input)).toMatchObject(expected)
        })
      }
    })
  }
}
