import { afterAll, expect, setDefaultTimeout, test } from "bun:test"
import { canonicalPath } from "../../src/lib/target.ts"
import { LANE, SERVE_DOOR, type TestDoor, throughDoor } from "../support/doors.ts"
import { EchoUpstream } from "../support/echo_upstream.ts"
import { type ServedGateway, serveGateway } from "../support/gateway.ts"
import { openClient, type RawClient } from "../support/raw_client.ts"
import type { ReceivedRequest } from "../support/received.ts"
import { cut, Dice, makeStream } from "../support/request_streams.ts"
import { readStrictly, type StrictRequest } from "../support/strict_requests.ts"
import { until } from "../support/until.ts"

// Both doors get the same streams of requests, valid and mutilated. FUZZ_ROUNDS and FUZZ_SEED ask for more or others.
const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 1500)
const SEED = Number(process.env.FUZZ_SEED ?? 5)
/** So many streams are under way at a time. */
const BENCHES = 6
/** A door that says nothing for so long waits for more; a second look takes longer. */
const QUIET_MS = 20
const SECOND_QUIET_MS = 500

setDefaultTimeout(600_000)

interface Side {
  readonly door: TestDoor
  readonly served: ServedGateway
  readonly upstream: EchoUpstream
}

function openSide(door: TestDoor): Side {
  const upstream = new EchoUpstream()
  const served = serveGateway(
    throughDoor(door, {
      services: { s: { instances: [upstream.url], ejection: { max_percent: 0 } } },
      defaults: { request_id: {} },
      routes: [
        { path: "/*", service: "s" },
        { path: "/refused/*", respond: { status: 403, body: "refused" } },
      ],
    }),
  )
  return { door, served, upstream }
}

const benches = Array.from({ length: BENCHES }, () => [openSide(LANE), openSide(SERVE_DOOR)] as const)
afterAll(() => {
  for (const { served, upstream } of benches.flat()) {
    served.close()
    upstream.stop()
  }
})

/** What a client and a service saw of one stream. */
interface Seen {
  /** Of the final answers, in order. */
  readonly statuses: readonly number[]
  readonly bodies: readonly string[]
  /** The door has closed the connection; otherwise it waits for more. */
  readonly closed: boolean
  readonly requests: readonly ReceivedRequest[]
  readonly faults: readonly string[]
}

/** Waits for `count` answers, the end, or silence. */
async function settle(
  client: RawClient,
  upstream: EchoUpstream,
  count: number,
  quietMs: number,
): Promise<void> {
  let last = -1
  let since = performance.now()
  for (;;) {
    if (client.closed) return
    const moved = client.bytesReceived + upstream.requests.length
    if (moved !== last) {
      last = moved
      since = performance.now()
      if (finals(client).length >= count) return
    } else if (performance.now() - since > quietMs) return
    await Bun.sleep(1)
  }
}

const finals = (client: RawClient) => client.parsed().filter((each) => each.status >= 200 && each.complete)

/** `pieces`: message by message, each as it is cut. `pipelined`: no answer is waited for. */
async function send(
  { served, upstream }: Side,
  pieces: readonly (readonly string[])[],
  pipelined: boolean,
  quietMs: number,
): Promise<Seen> {
  const before = upstream.requests.length
  const faultsBefore = upstream.faults.length
  const client = await openClient(served.port)
  for (const [i, message] of pieces.entries()) {
    for (const piece of message) {
      if (client.closed) break
      client.send(piece)
      await new Promise(setImmediate)
    }
    if (!pipelined) await settle(client, upstream, i + 1, quietMs)
  }
  await settle(client, upstream, pieces.length, quietMs)
  const answers = finals(client)
  const { closed } = client
  client.reset()
  await until(() => served.inFlight() === 0, "no exchange under way")
  return {
    statuses: answers.map((each) => each.status),
    bodies: answers.map((each) => each.body),
    closed,
    requests: upstream.requests.slice(before),
    faults: upstream.faults.slice(faultsBefore),
  }
}

/** The gateway's own, or framing that each hop chooses for itself. */
const OURS = /^(?:x-request-id|x-forwarded-\w+|content-length|transfer-encoding|connection)$/
/** What a client may say and no service gets to hear. */
const DROPPED =
  /_|^(?:x-user-.*|x-client-id|x-auth-.*|x-forwarded-.*|forwarded|x-request-id|x-http-method(?:-override)?|x-method-override|expect|connection|keep-alive|te|trailer|upgrade|http2-settings|proxy-(?:connection|authorization|authenticate)|content-length|transfer-encoding)$/

function joined(fields: Iterable<readonly [string, string]>): Map<string, string> {
  const found = new Map<string, string>()
  for (const [name, value] of fields) {
    const known = found.get(name)
    found.set(name, known === undefined ? value : `${known}${name === "cookie" ? "; " : ", "}${value}`)
  }
  // A line with nothing in it ends the join with a space, or without, as the reader has it.
  for (const [name, value] of found) found.set(name, value.trim())
  return found
}

function fieldsOf({ lines }: ReceivedRequest): Map<string, string> {
  return joined(
    lines.map((line) => {
      const colon = line.indexOf(":")
      return [
        line.slice(0, colon).toLowerCase(),
        line.slice(colon + 1).replace(/^[\t ]+|[\t ]+$/g, ""),
      ] as const
    }),
  )
}

/** The request without what may differ between hops. */
function essence(request: ReceivedRequest): string {
  const fields = [...fieldsOf(request)].filter(([name]) => !OURS.test(name)).sort()
  return JSON.stringify([request.line, fields, request.body])
}

function pathOf(target: string): string {
  const start = /^https?:\/\/[^/?]*/i.exec(target)?.[0].length ?? 0
  const [path, ...query] = target.slice(start).split("?")
  // The runtime takes dot segments out first, and with them what is malformed before them.
  const canonical = canonicalPath(path!) ?? canonicalPath(new URL(path!, "http://a.example").pathname)
  // An empty query is none.
  return [canonical?.path, ...query].join("?").replace(/^([^?]*)\?$/, "$1")
}

/** Why the service's request is not the one the client sent; "" when it is. */
function altered(sent: StrictRequest, got: ReceivedRequest): string {
  // Bytes no URI may have are encoded by the runtime; the doors are compared on them, and the method here.
  const line = /[^!-~]|["<>\\^`{}']/.test(sent.target)
    ? got.line.startsWith(`${sent.method} `)
    : got.line === `${sent.method} ${pathOf(sent.target)} HTTP/1.1`
  if (!line) return `the line ${got.line}`
  if (got.body !== sent.body) return "the body"
  const before = joined(sent.fields)
  const after = fieldsOf(got)
  const nominated = (before.get("connection") ?? "").toLowerCase().split(/[ \t]*,[ \t]*/)
  for (const [name, value] of after) {
    const sentValue = name === "host" ? before.get(name)?.toLowerCase() : before.get(name)
    if (!OURS.test(name) && sentValue !== value) return `the value of ${name}`
  }
  for (const name of before.keys()) {
    if (!after.has(name) && !DROPPED.test(name) && !nominated.includes(name)) return `${name} is gone`
  }
  return ""
}

/** What must hold of one door by itself. */
function faultsOf({ statuses, bodies, requests, faults }: Seen, strict: readonly StrictRequest[]): string[] {
  const found = [...faults]
  let next = 0
  for (const request of requests) {
    const reasons: string[] = []
    const from = next
    for (; next < strict.length; next++) {
      const reason = altered(strict[next]!, request)
      if (reason === "") break
      reasons.push(reason)
    }
    if (next++ >= strict.length)
      found.push(`the service got what was not sent, from ${from}: ${reasons.join(", ")}`)
  }
  const echoes = bodies.filter((_body, i) => statuses[i] === 200)
  const expected = requests.slice(0, echoes.length).map(EchoUpstream.answerTo)
  if (!Bun.deepEquals(echoes, expected)) found.push("an answer belongs to another request")
  return found
}

/** Of requests that are as they should be, each gets its answer, up to one after which the connection is closed. */
function unanswered({ statuses, closed }: Seen, strict: readonly StrictRequest[]): string[] {
  const refused = closed && (statuses.at(-1) ?? 0) >= 400
  return statuses.length === strict.length || refused
    ? []
    : [`${statuses.length} of ${strict.length} answered`]
}

/** A difference in what the client sees that is known, and why it is right or cannot be helped. */
interface Allowed {
  readonly lane: RegExp
  readonly serve: RegExp
  /** What the client must have sent; absent: anything. */
  readonly when?: RegExp
  readonly why: string
}

const ALLOWED: readonly Allowed[] = [
  {
    lane: /^400$/,
    serve: /^505$/,
    why: "the runtime takes any fault of a request line for one of its version",
  },
  {
    lane: /^40[05]$/,
    serve: /^(?:closed|400)$/,
    why: "the runtime does not answer methods it does not know",
  },
  {
    lane: /^waits$/,
    serve: /^(?:400|505|closed)$/,
    why: "a head that comes in parts is looked at when it may be whole; header_timeout bounds that",
  },
  { lane: /^400$/, serve: /^waits$/, why: "the lane refuses at the first byte that cannot be right" },
  {
    lane: /^400$/,
    serve: /^(?:200|403)$/,
    when: /^(?:content-length|transfer-encoding):[^\r]*\t/im,
    why: "the lane takes no tab beside a length or coding",
  },
  {
    lane: /^400$/,
    serve: /^(?:200|403)$/,
    when: /%(?![0-9a-f]{2})|%[01]|%ff|%[c-f]/i,
    why: "the runtime takes dot segments out, and with them malformed ones, before anybody sees them",
  },
  {
    lane: /^400$/,
    serve: /^(?:200|403)$/,
    when: / https?:\/\/\S* HTTP\//i,
    why: "the runtime hides the authority of a target in absolute form, which must be that of Host",
  },
  {
    lane: /^(?:200|40[035]|417|505|waits)$/,
    serve: /^(?:400|505|closed)$/,
    when: /chunked/i,
    why: "the runtime answers trailers with a 400 of its own, and hides whether a body that nobody read has ended",
  },
  {
    lane: /^400$/,
    serve: /^(?:200|403|417)$/,
    when: /chunked|^expect:/im,
    why: "the lane judges all of a request that has come before it asks anybody",
  },
  {
    lane: /^(?:200|40[03]|417)$/,
    serve: /^(?:400|505|closed)$/,
    when: /\r\n\r\n[\s\S]/,
    why: "the runtime gives up a request, without its answer, when bytes follow it that are none",
  },
  {
    lane: /^waits$/,
    serve: /^(?:200|403)$/,
    when: /chunked/i,
    why: "the runtime takes the last chunk for the end of the body; the lane waits for its last LF",
  },
  { lane: /^closed$/, serve: /^(?:400|505)$/, why: "the runtime reads on after a refusal" },
]

/** Goes on to the Serve door, which closes where a request comes before the answer to the one before it. */
const HANDED_OVER = /^upgrade:| HTTP\/1\.[02-9]|^\S+ [^ \r\n]*(?:[^!-~ \r\n]|["<>\\^`{}])/im

/** How the connection went on after the answers both doors agree on. */
function nextOf({ statuses, closed }: Seen, at: number): string {
  return String(statuses[at] ?? (closed ? "closed" : "waits"))
}

/** Where the doors part; "" when they do not, or for a reason that is known. */
function partingOf(lane: Seen, serve: Seen, messages: readonly string[], pipelined: boolean): string {
  const text = messages.join("")
  const shared = Math.min(lane.requests.length, serve.requests.length)
  for (let i = 0; i < shared; i++) {
    if (essence(lane.requests[i]!) !== essence(serve.requests[i]!))
      return "the services got different requests"
  }
  let at = 0
  while (at < lane.statuses.length && lane.statuses[at] === serve.statuses[at]) at++
  const ways = { lane: nextOf(lane, at), serve: nextOf(serve, at) }
  // Both have answered everything; what becomes of the connection then may show a little later.
  if (at >= messages.length || ways.lane === ways.serve || (pipelined && HANDED_OVER.test(text))) return ""
  for (const each of ALLOWED) {
    if (each.lane.test(ways.lane) && each.serve.test(ways.serve) && (each.when?.test(text) ?? true)) return ""
  }
  return `lane ${ways.lane}, Serve door ${ways.serve}`
}

const short = (text: string) => (text.length > 300 ? `${text.slice(0, 300)}… (${text.length})` : text)
const shown = ({ statuses, closed, requests }: Seen) => ({
  statuses: statuses.join(" "),
  closed,
  requests: requests.map((each) => short(essence(each))),
})

test("what one door passes on, no strict reader and no other door reads otherwise", async () => {
  const failures: unknown[] = []
  const partings = new Map<string, unknown>()
  let passed = 0
  let round = 0
  const work = async ([lane, serve]: (typeof benches)[number]): Promise<void> => {
    while (round < ROUNDS && failures.length < 5) {
      const seed = SEED * 1_000_003 + round++
      const dice = new Dice(seed)
      const stream = makeStream(dice)
      const pieces = stream.messages.map((each) => cut(dice, each))
      const pipelined = dice.once(2)
      const text = stream.messages.join("")
      const strict = readStrictly(text)
      for (const quietMs of [QUIET_MS, SECOND_QUIET_MS]) {
        const [byLane, byServe] = await Promise.all([
          send(lane, pieces, pipelined, quietMs),
          send(serve, pieces, false, quietMs),
        ])
        const broken = [
          ...faultsOf(byLane, HANDED_OVER.test(text) ? strict : strict.filter((each) => !each.torn)),
          // The runtime passes a body on before it has seen what ends it (F-7), and takes any extension (F-6).
          ...faultsOf(byServe, readStrictly(text, true)),
        ]
        if (!stream.mutated) broken.push(...unanswered(byLane, strict))
        const parting = partingOf(byLane, byServe, stream.messages, pipelined)
        if (broken.length === 0 && parting === "") {
          passed += byLane.requests.length
          break
        }
        if (quietMs === QUIET_MS) continue
        const report = {
          seed,
          pipelined,
          sent: stream.messages.map((each) => JSON.stringify(short(each))),
          strict: strict.length,
          lane: shown(byLane),
          serve: shown(byServe),
        }
        if (broken.length > 0) failures.push({ broken, ...report })
        else if (!partings.has(parting)) partings.set(parting, report)
      }
    }
  }
  await Promise.all(benches.map(work))
  expect({ failures, partings: Object.fromEntries(partings) }).toEqual({ failures: [], partings: {} })
  expect(passed).toBeGreaterThan(ROUNDS / 2)
})
