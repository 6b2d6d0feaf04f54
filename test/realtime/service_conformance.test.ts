import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type ServedGateway, serveGateway } from "../support/gateway.ts"
import { until } from "../support/until.ts"
import type { Transcript, WsCase } from "../support/ws_case.ts"
import { FRAME_CASES } from "../support/ws_cases.ts"
import { UTF8_CASES } from "../support/ws_cases_utf8.ts"
import {
  type ClientSaw,
  echoAll,
  judge,
  observed,
  startAnswering,
  type Transcripts,
} from "../support/ws_suite.ts"

// The same cases the other way round: a service plays them with clients of another implementation that echo, once
// directly and once through the gateway.

setDefaultTimeout(60_000)

const CASES = [...FRAME_CASES, ...UTF8_CASES]

const python =
  Bun.spawnSync(["/usr/bin/python3", "-c", "import websockets"], { stderr: "ignore" }).exitCode === 0

describe.skipIf(!python)("service conformance", () => {
  let gateway: ServedGateway
  let services: Transcripts
  let clients: Readonly<Record<string, Readonly<Record<string, ClientSaw>>>>
  let answering: Awaited<ReturnType<typeof startAnswering>>

  beforeAll(async () => {
    answering = await startAnswering(["direct", "relayed"], CASES)
    gateway = serveGateway({
      services: { cases: { instances: [`http://127.0.0.1:${answering.port}`] } },
      routes: [{ path: "/*", service: "cases", websocket: "relay" }],
    })
    const targets = [
      { name: "direct", port: answering.port },
      { name: "relayed", port: gateway.port },
    ]
    clients = await echoAll(targets, CASES)
    services = await answering.transcripts()
  })
  afterAll(() => {
    gateway?.close()
    answering?.stop()
  })

  const seen = (way: string, { id }: WsCase): Transcript => services[way]![id]!
  /** The last messages before an end may be cut off by it in cases that are loose: not compared. */
  const saw = (way: string, { id, loose }: WsCase): ClientSaw => {
    const { messages, close } = clients[way]![id]!
    return { messages: loose === true ? [] : messages, close }
  }
  /** The service breaks the protocol: a client that reads its frames fails the connection. */
  const isBroken = (each: WsCase): boolean => saw("direct", each).close[0] === 1006

  test(`[S-FR4.2] ${CASES.length} cases end for the service as without the gateway`, () => {
    const different = CASES.flatMap((each) => {
      const [direct, relayed] = [observed(each, seen("direct", each)), observed(each, seen("relayed", each))]
      return Bun.deepEquals(direct, relayed) ? [] : [{ case: `${each.id} ${each.does}`, direct, relayed }]
    })
    expect(different).toEqual([])
  })

  test.each(["direct", "relayed"])("%s: they end as the suite wants them to", (way) => {
    const wrong = CASES.flatMap((each) => {
      const problem = judge(each, seen(way, each))
      return problem === undefined ? [] : [`${each.id} ${each.does}: ${problem}`]
    })
    expect(wrong).toEqual([])
  })

  test("[S-FR4.2] clients get the same messages and the same close", () => {
    const different = CASES.filter((each) => !isBroken(each)).flatMap((each) => {
      const [direct, relayed] = [saw("direct", each), saw("relayed", each)]
      return Bun.deepEquals(direct, relayed) ? [] : [{ case: `${each.id} ${each.does}`, direct, relayed }]
    })
    expect(different).toEqual([])
  })

  test("[F-29] a service that breaks the protocol is a bad gateway (1014) for the client, who sees none of it", () => {
    const broken = CASES.filter(isBroken)
    expect(broken.length).toBeGreaterThan(100)
    for (const each of broken) {
      expect(saw("relayed", each)).toEqual({
        messages: saw("direct", each).messages,
        close: [1014, "service connection lost"],
      })
    }
  })

  test("no relay is left", async () => {
    await until(() => gateway.relays.size === 0, "all relays to end", 15_000)
  })
})
