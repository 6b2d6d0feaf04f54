import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { parseExposition, sampleValue } from "../support/exposition.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { untilAsked } from "../support/until.ts"
import { closing, fatal, fine, fragments, hex, OP, spec, told, type WsCase } from "../support/ws_case.ts"
import { FRAME_CASES } from "../support/ws_cases.ts"
import { UTF8_CASES } from "../support/ws_cases_utf8.ts"
import { ask, floodWithPings, judge, type Transcripts } from "../support/ws_suite.ts"

// The endpoint of channels as a WebSocket server: frames no client may send, and how each ends. Written byte by byte, and
// read by another implementation.

setDefaultTimeout(60_000)

const { TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE } = OP
const KB = 1024
const PATH = "/api/v1/realtime"
const ASKED = '{"id":1,"type":"ping"}'
const ANSWERED = told('{"id":1,"result":{}}')

/** What is said with a close of the endpoint's own. */
const farewell = (code: number, reason: string): string =>
  told(JSON.stringify({ push: "disconnect", code, reason, reconnect: code < 4500 }))

/** A case the endpoint itself ends, and tells why. */
function refused(
  id: string,
  does: string,
  frames: WsCase["steps"][number][],
  code: number,
  reason: string,
): WsCase {
  return {
    id,
    does,
    steps: frames,
    finish: "end",
    expected: { messages: [farewell(code, reason)], pongs: [], close: [code] },
  }
}

const NO_COMMAND = "a frame is no command of the protocol"
const TOO_LARGE = "a frame is larger than the limit"
const command = spec(TEXT, ASKED)
const wholeAtLimit = `${ASKED}${" ".repeat(64 * KB - ASKED.length)}`
const many = Array.from({ length: 2000 }, (_, i) => `ping ${i}`)

/** What the suite's echo cases do not ask. */
const OWN: readonly WsCase[] = [
  fine("command", "a command is answered", [{ frames: [command] }], [ANSWERED]),
  fine("bytes", "a command byte by byte", [{ frames: [command], chop: 1 }], [ANSWERED]),
  fine("fragments", "a command in frames of a byte", [{ frames: fragments(TEXT, ASKED, 1) }], [ANSWERED]),
  fine(
    "between",
    "a ping between the fragments of a command",
    [
      {
        frames: [
          ...fragments(TEXT, ASKED, 8).slice(0, 1),
          spec(PING, "x"),
          ...fragments(TEXT, ASKED, 8).slice(1),
        ],
      },
    ],
    [ANSWERED],
    [hex("x")],
  ),
  fine("limit", "a command of exactly 64 KB", [{ frames: [spec(TEXT, wholeAtLimit)] }], [ANSWERED]),
  fine("flood", "2,000 pings at once", [{ frames: many.map((each) => spec(PING, each)) }], [], many.map(hex)),
  fine(
    "pongs",
    "2,000 pongs nobody asked for",
    [{ frames: many.map((each) => spec(PONG, each)) }, { frames: [command] }],
    [ANSWERED],
  ),
  fine(
    "empties",
    "2,000 empty fragments",
    [
      {
        frames: [
          spec(TEXT, ASKED, { fin: false }),
          ...many.map(() => spec(CONTINUATION, "", { fin: false })),
          spec(CONTINUATION),
        ],
      },
    ],
    [ANSWERED],
  ),
  fatal("unmasked", "a frame without a mask", [{ frames: [spec(TEXT, ASKED, { masked: false })] }]),
  fatal("unmasked ping", "a ping without a mask", [{ frames: [spec(PING, "", { masked: false })] }]),
  fatal(
    "giant",
    "a frame that claims 16 MB and a byte",
    [{ frames: [spec(TEXT, "", { claims: 16 * KB * KB + 1 })] }],
    [1009],
  ),
  fatal(
    "huge",
    "a frame that claims 2^53 bytes",
    [{ frames: [spec(TEXT, "", { claims: 2 ** 53 })] }],
    [1009, 1002],
  ),
  refused(
    "over",
    "a text of more than 64 KB",
    [{ frames: [spec(TEXT, `${wholeAtLimit} `)] }],
    4505,
    TOO_LARGE,
  ),
  refused(
    "pieces",
    "the same in frames of 1 KB",
    [{ frames: fragments(TEXT, `${wholeAtLimit} `, KB) }],
    4505,
    TOO_LARGE,
  ),
  refused(
    "bytes not characters",
    "66,000 bytes in half as many characters",
    [{ frames: [spec(TEXT, "é".repeat(33_000))] }],
    4505,
    TOO_LARGE,
  ),
  refused("binary", "a binary message", [{ frames: [spec(BINARY, ASKED)] }], 4501, NO_COMMAND),
  refused(
    "no command",
    "a text that is no command",
    [{ frames: [spec(TEXT, "Hello, world!")] }],
    4501,
    NO_COMMAND,
  ),
  refused("empty", "an empty text", [{ frames: [spec(TEXT)] }], 4501, NO_COMMAND),
  ...[1012, 1013, 1014, 1015, 1017, 1999, 4501].map(
    (code): WsCase => ({
      id: `close ${code}`,
      does: `a close with ${code}`,
      steps: [{ frames: [spec(CLOSE, closing(code))] }],
      finish: "end",
      expected: { messages: [], pongs: [], close: code < 1015 || code >= 3000 ? [code] : [1002] },
    }),
  ),
]

/** Of the suite, what sends no message: those of an echo server mean nothing here. */
const SUITE = [...FRAME_CASES, ...UTF8_CASES].filter(({ expected }) => expected.messages.length === 0)
const CASES = [...SUITE, ...OWN]

const python =
  Bun.spawnSync(["/usr/bin/python3", "-c", "import websockets"], { stderr: "ignore" }).exitCode === 0
const DOORS = ["lane", "Serve door"] as const

describe.skipIf(!python)("channels as a WebSocket server", () => {
  let seen: Transcripts
  const gateways = new Map<string, GatewayProcess>()

  beforeAll(async () => {
    const realtime = { anonymous: true, namespaces: { chat: { subscribe: { anonymous: true } } } }
    const runs = DOORS.map(async (name) => {
      const gateway = await startGateway({ server: { workers: 1, lane: name === "lane" }, realtime })
      gateways.set(name, gateway)
      return ask([{ name, port: gateway.port, path: PATH }], CASES)
    })
    seen = Object.assign({}, ...(await Promise.all(runs)))
  })
  afterAll(endGateways)

  const wrong = (door: string, cases: readonly WsCase[]): string[] =>
    cases.flatMap((each) => {
      const problem = judge(each, seen[door]![each.id])
      return problem === undefined ? [] : [`${each.id}, ${each.does}: ${problem}`]
    })

  /** Connections cut off because they read too slowly. */
  const cutOff = async (door: string): Promise<number | undefined> => {
    const page = await (await gateways.get(door)!.admin("/metrics")).text()
    return sampleValue(parseExposition(page), "gatehouse_realtime_closed_total", { code: "4001" })
  }

  describe.each(DOORS)("%s", (door) => {
    test(`[S-FR4.2] ${SUITE.length} cases of the suite end as RFC 6455 says`, () => {
      expect(wrong(door, SUITE)).toEqual([])
    })

    test.each(OWN.map((each) => [each.does, each] as const))("%s", (_, each) => {
      expect(wrong(door, [each])).toEqual([])
    })

    test("[F-22] who sends pings and reads no pongs is cut off", async () => {
      const client = floodWithPings(gateways.get(door)!.port, PATH)
      await untilAsked(async () => (await cutOff(door)) === 1, "the cut-off to be counted")
      client.stop()
      await client.ended
    })
  })
})
