/** Random numbers that are the same in each run with the same seed. */
export class Dice {
  #state: number

  constructor(seed: number) {
    this.#state = seed | 0
  }

  /** 0 up to `below`, without it. */
  next(below: number): number {
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below)
  }

  pick<T>(from: readonly T[]): T {
    return from[this.next(from.length)]!
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.next(times) === 0
  }
}

/** What one client sends on one connection. */
export interface RequestStream {
  /** Latin-1, one request each as they were meant; a mutation may have moved the borders. */
  readonly messages: readonly string[]
  readonly mutated: boolean
}

const METHODS = ["GET", "GET", "POST", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
const TARGETS = [
  "/",
  "/a",
  "/a/b?c=d&e",
  "/a//b/./c/../d",
  "/%61%7e/%2e%2E/x",
  "/x?a=%&b=%zz",
  "/x?q=[1]|2#".slice(0, -1),
  "/refused/x",
  "/..",
  "/%2fx",
  "/a;b",
  "/x?http://b.example/",
  "http://a.example/x/../y?z",
  `/${"l".repeat(3000)}`,
]
const HOSTS = [
  "Host: a.example",
  "host:a.example",
  "HOST: \t a.example \t",
  "Host: a.example:80",
  "Host: [::1]",
]
const FIELDS = [
  "X-A: 1",
  "x-a: 2",
  "X-A:",
  "X-B:  \t two words \t ",
  'X-C: "a, b"',
  "X-Bytes: \xe9\xff\x80",
  "X-Tab: a\tb",
  "Cookie: a=1",
  "cookie: b=2; c=3",
  "Accept: text/html, */*;q=0.1",
  "User-Agent: a (b) c/1",
  "Authorization: Basic YTpi",
  "Connection: keep-alive",
  "Connection: X-A, keep-alive",
  "Connection: host, content-length, x-b",
  "Keep-Alive: timeout=5",
  "TE: trailers",
  "Proxy-Connection: keep-alive",
  "X_Under: 1",
  "Content_Length: 5",
  "X-User-Id: root",
  "X-Forwarded-For: 6.6.6.6",
  "Forwarded: for=6.6.6.6",
  "X-HTTP-Method-Override: DELETE",
  'If-None-Match: W/"x", *',
  "Range: bytes=0-1",
  "!#$%&'*+-.^`|~: token",
  `X-Long: ${"v".repeat(2000)}`,
]
const BODY_SIZES = [0, 1, 5, 5, 100, 1000, 20_000]

/** A stream of one to five requests, valid or not. */
export function makeStream(dice: Dice): RequestStream {
  const messages = Array.from({ length: 1 + dice.next(5) }, () => makeRequest(dice))
  const mutated = !dice.once(3)
  if (mutated) {
    for (let changes = 1 + dice.next(2); changes > 0; changes--) {
      const which = dice.next(messages.length)
      messages[which] = mutate(dice, messages[which]!)
    }
  }
  return { messages, mutated }
}

function makeRequest(dice: Dice): string {
  const method = dice.pick(METHODS)
  const target = dice.once(3) ? dice.pick(TARGETS) : dice.pick(TARGETS.slice(0, 5))
  const lines = [dice.once(4) ? dice.pick(HOSTS) : HOSTS[0]!]
  for (let count = dice.next(6); count > 0; count--)
    lines.splice(dice.next(lines.length + 1), 0, dice.pick(FIELDS))
  let body = ""
  if (method !== "GET" && !dice.once(3)) {
    body = Array.from({ length: 8 }, () => String.fromCharCode(dice.next(256))).join("")
    body = body.repeat(3000).slice(0, dice.pick(BODY_SIZES))
    // A body that looks like a request shows whoever loses count.
    if (dice.once(3)) body = `GET /inner HTTP/1.1\r\nHost: a.example\r\n\r\n${body}`
    if (dice.once(2)) lines.push(`Content-Length: ${body.length}`)
    else {
      lines.push(
        dice.pick(["Transfer-Encoding: chunked", "transfer-encoding:chunked", "Transfer-Encoding: Chunked"]),
      )
      body = chunked(dice, body)
    }
    if (dice.once(12)) lines.push("Expect: 100-continue")
  }
  return `${method} ${target} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n${body}`
}

function chunked(dice: Dice, body: string): string {
  let text = ""
  for (let at = 0; at < body.length; ) {
    const size = Math.min(body.length - at, dice.once(3) ? 1 + dice.next(9) : 1 + dice.next(10_000))
    const digits = size.toString(16)
    const spelled = dice.pick([digits, digits.toUpperCase(), `00${digits}`])
    const extension = dice.once(8) ? dice.pick([";a", ";a=b", ';a="b;\\"c"', ";a=1;b"]) : ""
    text += `${spelled}${extension}\r\n${body.slice(at, at + size)}\r\n`
    at += size
  }
  return `${text}0\r\n${dice.once(8) ? "X-Trailer: 1\r\n" : ""}\r\n`
}

const BYTES = [
  "\0",
  "\t",
  "\n",
  "\r",
  " ",
  ":",
  ",",
  ";",
  "0",
  "1",
  "5",
  "a",
  "F",
  "-",
  "_",
  "/",
  "%",
  "?",
  "#",
]
// Without DEL, which the runtime passes on in values (F-9).
const MORE_BYTES = ["\x80", "\xff", "\r\n", "\r\n\r\n", "  ", '"', "\\", "{", "@", "[", "\x0b", "\x1b"]
const LINES = [
  "Content-Length: 5",
  "Content-Length: 0",
  "Content-Length: +5",
  "Content-Length: 5, 5",
  "Content-Length:\t5",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: gzip, chunked",
  "Transfer-Encoding: identity",
  "Transfer-Encoding: chunked, chunked",
  "Transfer-Encoding:\tchunked",
  "Transfer-Encoding : chunked",
  "Host: b.example",
  " folded",
  "Connection: close",
  "Upgrade: h2c",
  "Expect: 200-ok",
  "Authorization: Bearer a",
  "Content-Type: a/b",
  "A",
  ": x",
]

function mutate(dice: Dice, text: string): string {
  const headEnd = text.indexOf("\r\n\r\n") + 4
  // Where readers differ is at the borders: mostly in the head, and near its lines' ends.
  const at = dice.once(3) ? dice.next(text.length + 1) : dice.next(headEnd)
  switch (dice.next(8)) {
    case 0:
    case 1:
      return text.slice(0, at) + dice.pick(dice.once(2) ? BYTES : MORE_BYTES) + text.slice(at + dice.next(2))
    case 2:
      return text.slice(0, at) + text.slice(at + 1 + dice.next(3))
    case 3: {
      const lines = text.slice(0, headEnd).split("\r\n")
      lines.splice(1 + dice.next(lines.length - 2), 0, dice.pick(LINES))
      return lines.join("\r\n") + text.slice(headEnd)
    }
    case 4: {
      const lines = text.slice(0, headEnd).split("\r\n")
      const from = dice.next(lines.length - 2)
      lines.splice(1 + dice.next(lines.length - 2), 0, lines[from]!)
      return lines.join("\r\n") + text.slice(headEnd)
    }
    case 5: {
      const ends = [...text.matchAll(/\r\n/g)].map((match) => match.index)
      const end = dice.pick(ends)
      return (
        text.slice(0, end) +
        dice.pick(["\n", "\r", "\r\r\n", "\n\r\n", " \r\n", "\r\n "]) +
        text.slice(end + 2)
      )
    }
    case 6:
      return text.replace(/\d+/, (digits) =>
        dice.pick([`${digits}0`, `0${digits}`, "", "18446744073709551615", `-${digits}`, "1", `${digits} `]),
      )
    default:
      return text.replace(
        / HTTP\/1\.1/,
        dice.pick([
          " HTTP/1.0",
          " HTTP/1.2",
          " HTTP/2.0",
          "",
          " http/1.1",
          "  HTTP/1.1",
          " HTTP/1.1 ",
          " HTTP/01.1",
        ]),
      )
  }
}

/** Cuts text into one to four pieces. */
export function cut(dice: Dice, text: string): string[] {
  const places = Array.from({ length: dice.next(4) }, () => dice.next(text.length + 1)).sort((a, b) => a - b)
  return [0, ...places].map((from, i) => text.slice(from, places[i])).filter((piece) => piece !== "")
}
