import { afterAll, expect, test } from "bun:test"
import { readBody } from "../support/bodies.ts"
import { RawUpstream } from "../support/raw_upstream.ts"
import { makePool, TestRequest } from "../support/upstream_request.ts"

// The pool against the runtime's own HTTP client, an independent parser: what the pool takes for a valid
// response, the other must read as the very same one. (The pool may refuse more; it must not read otherwise.)

const H = "HTTP/1.1 200 OK\r\n"
const VALID = [
  `${H}content-length: 5\r\n\r\nhello`,
  `${H}Content-Length:5\r\n\r\nhello`,
  `${H}content-length: 0\r\n\r\n`,
  `${H}\r\nuntil the end`,
  `HTTP/1.0 200 OK\r\n\r\nold`,
  `HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nhi`,
  `HTTP/1.1 404 Not Found\r\nx: \t y \t\r\ncontent-length: 2\r\n\r\nhi`,
  `HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${H}content-length: 2\r\n\r\nhi`,
  `${H}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
  `${H}Transfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n00b\r\n0123456789a\r\n0\r\n\r\n`,
  `${H}transfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nx: y\r\n\r\n`,
  `${H}set-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 1\r\n\r\n!`,
  `HTTP/1.1 204 No Content\r\n\r\n`,
] as const

let wire = ""
const upstream = new RawUpstream((connection) => connection.write(wire).end())
const pool = makePool(upstream.url, { max_idle: 0 })
afterAll(() => {
  pool.close()
  upstream.stop()
})

interface Read {
  status: number
  body: string
  fields: string
}

async function byPool(): Promise<Read | undefined> {
  const asked = await pool.ask(new TestRequest()).result
  if (asked.kind === "failed") return undefined
  const names = new Set(asked.fields.flat().filter((_part, i) => i % 2 === 0))
  const lines = [...names].map((name) => `${name}: ${asked.fields.get(name)}`)
  try {
    return { status: asked.status, body: await readBody(asked.body), fields: sorted(lines) }
  } catch {
    // Broke off: seen as no valid response, as the other side sees it.
    return undefined
  }
}

async function byFetch(): Promise<Read | undefined> {
  try {
    const response = await fetch(upstream.url, { redirect: "manual", keepalive: false, decompress: false })
    const lines: string[] = []
    for (const name of new Set(response.headers.keys())) lines.push(`${name}: ${response.headers.get(name)}`)
    const body = Buffer.from(await response.arrayBuffer()).latin1Slice()
    return { status: response.status, body, fields: sorted(lines) }
  } catch {
    // Refused; that is the answer.
    return undefined
  }
}

const sorted = (lines: string[]) => lines.sort().join("\n")

test.each(VALID)("both read %j alike", async (text) => {
  wire = text
  const ours = await byPool()
  expect(ours).toBeDefined()
  const theirs = await byFetch()
  expect(theirs).toEqual(ours!)
})

/** Numbers in [0, 1), the same in each run. */
function* numbers(seed: number): Generator<number, never> {
  for (;;) {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) | 0
    yield (seed >>> 0) / 2 ** 32
  }
}

test("[F-33] [F-5] what the pool accepts of 700 mutilated responses, the other client reads the same", async () => {
  const random = numbers(33)
  const next = (below: number) => Math.floor(random.next().value * below)
  const bytes = ["\0", "\t", "\n", "\r", " ", ":", ",", ";", "0", "1", "5", "a", "f", "-", "\x7f", "\r\n"]
  let accepted = 0
  const differing: unknown[] = []
  for (let i = 0; i < 700; i++) {
    wire = VALID[next(VALID.length)]!
    for (let changes = 1 + next(2); changes > 0; changes--) {
      const at = next(wire.length)
      wire = wire.slice(0, at) + bytes[next(bytes.length)] + wire.slice(at + next(2))
    }
    const ours = await byPool()
    // The Fetch standard hides the body of a 205; on the wire it has one.
    if (ours === undefined || ours.status === 205) continue
    accepted++
    const theirs = await byFetch()
    if (!Bun.deepEquals(theirs, ours)) differing.push({ wire, ours, theirs })
  }
  expect(differing).toEqual([])
  expect(accepted).toBeGreaterThan(100)
})
