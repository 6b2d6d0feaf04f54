import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { METHODS } from "node:http"
import { join } from "node:path"
import { ChunkedDecoder, LengthDecoder } from "../../src/http1/framing.ts"
import { parseRequestHead } from "../../src/http1/request_head.ts"
import { openClient } from "../support/raw_client.ts"
import { Dice, makeStream } from "../support/request_streams.ts"

// What our scanner takes for a request, Node's parser must read as the very same one. (Ours may refuse more.)
const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 1500)
const SEED = Number(process.env.FUZZ_SEED ?? 17)
const node = Bun.which("node")

setDefaultTimeout(600_000)

let port = 0
let server: Bun.Subprocess<"ignore", "pipe", "inherit"> | undefined
beforeAll(async () => {
  if (node === null) return
  const script = join(import.meta.dir, "../support/node_echo.mjs")
  server = Bun.spawn([node, script], { stdin: "ignore", stdout: "pipe", stderr: "inherit" })
  const { value } = await server.stdout.getReader().read()
  port = Number(new TextDecoder().decode(value))
})
afterAll(() => server?.kill())

interface Read {
  readonly method: string
  readonly url: string
  readonly fields: readonly string[]
  readonly body: string
}

/** The requests our scanner and decoders find, up to the first they do not take or after which they stop. */
function readByUs(text: string): { requests: Read[]; end: number } {
  const bytes = Buffer.from(text, "latin1")
  const requests: Read[] = []
  let end = 0
  while (end < bytes.length) {
    const head = parseRequestHead(bytes, 16_384, end)
    if (head.kind !== "complete" || !METHODS.includes(head.method) || head.method === "CONNECT") break
    // The door refuses other targets; Node does so here already.
    if (!/^(?:\/|https?:\/\/)/i.test(head.target)) break
    // Node closes after a request that expected something else than it got.
    if (head.fields.get("expect") !== undefined) break
    const { chunked, contentLength, close } = head.fields
    const decoder = chunked ? new ChunkedDecoder() : new LengthDecoder(contentLength ?? 0)
    // Decoding moves bytes within the buffer, but none beyond the message.
    const after = decoder.decode(bytes, head.headEnd)
    if (after < 0 || !decoder.done) break
    end = after
    const body = bytes.latin1Slice(decoder.start, decoder.end)
    requests.push({ method: head.method, url: head.target, fields: head.fields.flat(), body })
    if (close) break
  }
  return { requests, end }
}

async function readByNode(text: string, count: number): Promise<Read[]> {
  const client = await openClient(port)
  const answers = (await client.send(text).responses(count)).filter(
    (each) => each.status === 200 && each.complete,
  )
  client.reset()
  return answers.slice(0, count).map((each) => {
    const { method, url, rawHeaders, body } = JSON.parse(Buffer.from(each.body, "latin1").toString()) as Omit<
      Read,
      "fields"
    > & { rawHeaders: string[] }
    const fields = rawHeaders.map((part, i) => (i % 2 === 0 ? part.toLowerCase() : part))
    return { method, url, fields, body }
  })
}

test.skipIf(node === null)("what the scanner takes of random streams, Node reads alike", async () => {
  const differing: unknown[] = []
  let compared = 0
  let round = 0
  const work = async (): Promise<void> => {
    while (round < ROUNDS && differing.length < 3) {
      const seed = SEED * 1_000_003 + round++
      const text = makeStream(new Dice(seed)).messages.join("")
      const { requests: ours, end } = readByUs(text)
      if (ours.length === 0) continue
      // Without what follows: on the first fault Node drops answers that it still owes.
      const theirs = await readByNode(text.slice(0, end), ours.length)
      compared += ours.length
      const at = ours.findIndex((each, i) => !Bun.deepEquals(each, theirs[i]))
      if (at >= 0) differing.push({ seed, at, ours: ours[at], theirs: theirs[at] })
    }
  }
  await Promise.all(Array.from({ length: 8 }, work))
  expect(differing).toEqual([])
  expect(compared).toBeGreaterThan(ROUNDS)
})
