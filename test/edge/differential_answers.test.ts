import { afterAll, expect, setDefaultTimeout, test } from "bun:test"
import { LANE, SERVE_DOOR } from "../support/doors.ts"
import { openEdge } from "../support/edge.ts"
import { openClient, type RawResponse } from "../support/raw_client.ts"
import { cut, Dice } from "../support/request_streams.ts"
import { until } from "../support/until.ts"

// What a service answers, mutilated or not, must reach clients of both doors as the same message, or visibly broken.
// FUZZ_ROUNDS and FUZZ_SEED ask for more or others.
const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 500)
const SEED = Number(process.env.FUZZ_SEED ?? 11)

setDefaultTimeout(600_000)

const OK = "HTTP/1.1 200 OK\r\n"
const ANSWERS = [
  `${OK}content-length: 5\r\n\r\nhello`,
  `${OK}Content-Type: text/plain\r\nContent-Length:5\r\nX-A:  b \r\n\r\nhello`,
  `${OK}content-length: 0\r\n\r\n`,
  `${OK}\r\nuntil the end`,
  "HTTP/1.0 200 OK\r\n\r\nold",
  "HTTP/1.1 404 \r\ncontent-length: 2\r\n\r\nhi",
  `${OK}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n`,
  `${OK}Transfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\nX-Trailer: 1\r\n\r\n`,
  `${OK}set-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 1\r\n\r\n!`,
  `${OK}connection: x-hop, keep-alive\r\nx-hop: 1\r\nkeep-alive: timeout=1\r\ncontent-length: 1\r\n\r\n!`,
  "HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n",
  'HTTP/1.1 304 Not Modified\r\netag: "x"\r\n\r\n',
  "HTTP/1.1 302 Found\r\nlocation: /x?\xe9\r\ncontent-length: 0\r\n\r\n",
  `HTTP/1.1 100 Continue\r\n\r\n${OK}content-length: 5\r\n\r\nhello`,
  `${OK}content-length: 20000\r\n\r\n${"0123456789".repeat(2000)}`,
]
const BYTES = ["\0", "\t", "\n", "\r", " ", ":", ",", ";", "0", "1", "5", "a", "F", "-", "\r\n", "\x80"]

function makeAnswer(dice: Dice): string {
  let text = dice.pick(ANSWERS)
  for (let changes = dice.next(3); changes > 0; changes--) {
    const at = dice.next(Math.min(text.length, 200))
    text = text.slice(0, at) + dice.pick(BYTES) + text.slice(at + dice.next(2))
  }
  return text
}

let pieces: readonly string[] = []
const edges = [LANE, SERVE_DOOR].map((door) =>
  openEdge({
    door,
    script: async (connection) => {
      await connection.writeParts(pieces)
      connection.end()
    },
    service: { retry: { attempts: 1 } },
  }),
)
afterAll(() => {
  for (const edge of edges) edge.close()
})

/** Each hop's own. */
const OWN = /^(?:date|connection|transfer-encoding|content-length|x-request-id|keep-alive):/i

function essence(response: RawResponse | undefined): string {
  // The gateway's own 502 is how an answer is broken of which nothing was passed on.
  if (!response?.complete || response.body.includes('"BAD_GATEWAY"')) return "broken"
  const lines = response.head
    .split("\r\n")
    .slice(1)
    .filter((line) => !OWN.test(line))
    .map((line) =>
      line.replace(/^([^:]+):[ \t]*(.*?)[ \t]*$/, (_all, name, value) => `${name.toLowerCase()}: ${value}`),
    )
  return JSON.stringify([response.status, lines.sort(), response.body])
}

/** A request on a connection whose end is under way may be answered by that end alone. */
async function over(): Promise<void> {
  await until(() => edges.every(({ upstream }) => upstream.last.closed), "the services' ends to be closed")
}

async function ask(port: number): Promise<string> {
  const client = await openClient(port)
  client.send("GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
  await client.ended()
  const finals = client.parsed().filter((each) => each.status >= 200)
  return finals.length > 1 ? `${finals.length} answers` : essence(finals[0])
}

test("[F-31] clients of both doors get the same answer, or see that it is broken", async () => {
  const differing: unknown[] = []
  let whole = 0
  for (let round = 0; round < ROUNDS && differing.length < 5; round++) {
    const seed = SEED * 1_000_003 + round
    const dice = new Dice(seed)
    const wire = makeAnswer(dice)
    pieces = cut(dice, wire)
    const [lane, serve] = await Promise.all(edges.map((edge) => ask(edge.port)))
    await over()
    // The runtime sends no body with 205, which may have none.
    if (lane?.startsWith("[205") === true) continue
    if (lane !== serve) differing.push({ seed, wire: wire.slice(0, 300), lane, serve })
    else if (lane !== "broken") whole++
  }
  expect(differing).toEqual([])
  expect(whole).toBeGreaterThan(ROUNDS / 4)
})
