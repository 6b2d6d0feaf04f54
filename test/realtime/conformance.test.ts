import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { SERVICE_CERTIFICATE, SERVICE_KEY } from "../support/certificates.ts"
import { type ServedGateway, serveGateway } from "../support/gateway.ts"
import { until } from "../support/until.ts"
import type { WsCase } from "../support/ws_case.ts"
import { FRAME_CASES } from "../support/ws_cases.ts"
import { BULK_CASES, DEFLATE_CASES } from "../support/ws_cases_bulk.ts"
import { UTF8_CASES } from "../support/ws_cases_utf8.ts"
import {
  ask,
  type EchoServer,
  judge,
  observed,
  startNodeEcho,
  startPythonEcho,
  type Transcripts,
} from "../support/ws_suite.ts"

// The cases of the Autobahn test suite, by its numbers, against echo servers of two other implementations: once directly
// and once through the gateway, on each way in. What the client sees must be the same.

setDefaultTimeout(90_000)

const PLAIN = [...FRAME_CASES, ...UTF8_CASES]
const ALL = [...PLAIN, ...BULK_CASES, ...DEFLATE_CASES]

/** A service, a way to it through the gateway, and the cases played on it. */
const WAYS = [
  { service: "websockets", way: "websockets by the lane", cases: ALL },
  { service: "websockets", way: "websockets by the Serve door", cases: [...PLAIN, ...BULK_CASES] },
  { service: "websockets", way: "websockets over TLS", cases: PLAIN },
  { service: "ws", way: "ws by the lane", cases: PLAIN },
  { service: "websockets", way: "websockets by the lane, compressing", cases: DEFLATE_CASES },
  { service: "websockets", way: "websockets over TLS, compressing", cases: DEFLATE_CASES },
] as const

const SECTIONS: readonly (readonly [number: number, about: string])[] = [
  [1, "framing"],
  [2, "pings and pongs"],
  [3, "reserved bits"],
  [4, "opcodes"],
  [5, "fragmentation"],
  [6, "UTF-8"],
  [7, "closing"],
  [9, "limits"],
  [10, "fragments a sender makes by itself"],
  [12, "compression of different contents"],
  [13, "compression with different parameters"],
]

/**
 * The one thing that shows: the lane looks at the UTF-8 of every fragment, as some services do (`websockets`). Where the
 * runtime reads the client's frames it looks when the message is whole, as it does without a gateway (`bare`). RFC 6455
 * section 8.1 allows both; the service never sees such a message.
 */
const LATE: ReadonlySet<string> = new Set(["6.4.1", "6.4.2"])

/** Offers that ask for what one window for all messages cannot give, a smaller one; the runtime declines them. */
const DECLINED: ReadonlySet<string> = new Set(["13.3", "13.5"])

const python =
  Bun.spawnSync(["/usr/bin/python3", "-c", "import websockets"], { stderr: "ignore" }).exitCode === 0
const node = Bun.which("node") !== null
const ways = WAYS.filter(({ service }) => service !== "ws" || node)

describe.skipIf(!python)("conformance", () => {
  const services: EchoServer[] = []
  const gateways: ServedGateway[] = []
  let bare: Bun.Server<undefined>
  let seen: Transcripts

  beforeAll(async () => {
    const websockets = await startPythonEcho()
    services.push(websockets)
    const relay = (port: number, server: object = {}) => ({
      server,
      services: { echo: { instances: [`http://127.0.0.1:${port}`] } },
      routes: [{ path: "/*", service: "echo", websocket: "relay" }],
    })
    const pair = { cert: SERVICE_CERTIFICATE, key: SERVICE_KEY }
    const lane = serveGateway(relay(websockets.port))
    const door = serveGateway(relay(websockets.port, { lane: false }))
    const secure = serveGateway(relay(websockets.port, { tls: { cert: "unread", key: "unread" } }), {
      tls: pair,
    })
    const compressing = serveGateway(relay(websockets.port, { websocket: { compression: true } }))
    const compressingTls = serveGateway(
      relay(websockets.port, { tls: { cert: "unread", key: "unread" }, websocket: { compression: true } }),
      { tls: pair },
    )
    gateways.push(lane, door, secure, compressing, compressingTls)
    bare = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("", { status: 400 })),
      websocket: { message: (socket, message) => void socket.send(message) },
    })
    // Each run is a process of its own: one client cannot keep a gateway busy.
    const runs = [
      ask([{ name: "websockets", port: websockets.port }], ALL),
      ask([{ name: "websockets by the lane", port: lane.port }], ALL),
      ask([{ name: "websockets by the Serve door", port: door.port }], [...PLAIN, ...BULK_CASES]),
      ask([{ name: "websockets over TLS", port: secure.port, tls: true }], PLAIN),
      ask(
        [
          { name: "websockets by the lane, compressing", port: compressing.port },
          { name: "websockets over TLS, compressing", port: compressingTls.port, tls: true },
        ],
        DEFLATE_CASES,
      ),
      ask(
        [{ name: "bare", port: bare.port! }],
        ALL.filter(({ id }) => LATE.has(id)),
      ),
    ]
    if (node) {
      const ws = await startNodeEcho()
      services.push(ws)
      const toWs = serveGateway(relay(ws.port))
      gateways.push(toWs)
      runs.push(
        ask(
          [
            { name: "ws", port: ws.port },
            { name: "ws by the lane", port: toWs.port },
          ],
          PLAIN,
        ),
      )
    }
    seen = Object.assign({}, ...(await Promise.all(runs)))
  })

  afterAll(async () => {
    for (const gateway of gateways) gateway.close()
    for (const service of services) await service.stop()
    await bare?.stop(true)
  })

  /** Cases of a section, "6" of "6.4.1". */
  const of = (cases: readonly WsCase[], section: number): WsCase[] =>
    cases.filter(({ id }) => id.startsWith(`${section}.`))

  describe.each(ways)("$way", ({ service, way, cases }) => {
    for (const [section, about] of SECTIONS) {
      const mine = of(cases, section)
      if (mine.length === 0) continue
      test(`[S-FR4.2] section ${section} (${about}): ${mine.length} cases end as without the gateway`, () => {
        const different = mine
          .filter(({ id }) => !LATE.has(id))
          .flatMap((each) => {
            const direct = observed(each, seen[service]![each.id]!)
            const relayed = observed(each, seen[way]![each.id]!)
            return Bun.deepEquals(direct, relayed)
              ? []
              : [{ case: `${each.id} ${each.does}`, direct, relayed }]
          })
        expect(different).toEqual([])
      })
    }

    test("[S-FR4.2] all cases end as the suite wants them to", () => {
      const wrong = cases.flatMap((each) => {
        const problem = judge(each, seen[way]![each.id])
        return problem === undefined ? [] : [`${each.id} ${each.does}: ${problem}`]
      })
      expect(wrong).toEqual([])
    })

    const early = !way.endsWith("Serve door")
    const when = early ? "at once, as by some services" : "when the message is whole, as by the runtime alone"
    test(`invalid UTF-8 in a fragment is found ${when}`, () => {
      for (const each of cases.filter(({ id }) => LATE.has(id)))
        expect(observed(each, seen[way]![each.id]!)).toEqual(
          observed(each, seen[early ? "websockets" : "bare"]![each.id]!),
        )
    })

    if (way.endsWith("compressing"))
      test("[S-FR4.2] offers of compression are taken, but for those of a smaller window", () => {
        const none = cases.filter(({ id }) => seen[way]![id]!.extensions.length === 0).map(({ id }) => id)
        const declined = cases
          .filter(({ id }) => DECLINED.has(id.split(".", 2).join(".")))
          .map(({ id }) => id)
        expect(none).toEqual(declined)
      })
    else
      test("a client that offers compression is told none, and understood", () => {
        for (const { id } of of(cases, 13)) expect(seen[way]![id]!.extensions).toEqual([])
      })
  })

  test.each([...new Set(ways.map(({ service }) => service))])(
    "the cases are right: %s passes them",
    (service) => {
      const cases = service === "ws" ? PLAIN : ALL
      const wrong = cases.flatMap((each) => {
        const problem = judge(each, seen[service]![each.id])
        return problem === undefined ? [] : [`${each.id} ${each.does}: ${problem}`]
      })
      expect(wrong).toEqual([])
    },
  )

  test("compressed messages are what sections 12 and 13 try without the gateway", () => {
    for (const { id } of DEFLATE_CASES) expect(seen.websockets![id]!.extensions).toHaveLength(1)
  })

  test("[F-30] no relay is left when the clients have gone", async () => {
    await until(() => gateways.every(({ relays }) => relays.size === 0), "all relays to end", 15_000)
  })
})
