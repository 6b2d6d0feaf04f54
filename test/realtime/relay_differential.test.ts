import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type ServedGateway, serveGateway } from "../support/gateway.ts"
import { Dice } from "../support/request_streams.ts"
import { until } from "../support/until.ts"
import { makeScript } from "../support/ws_scripts.ts"
import {
  ask,
  type EchoServer,
  judge,
  observed,
  startPythonEcho,
  type Transcripts,
} from "../support/ws_suite.ts"

// Clients that talk at random, each once to a server of another implementation and once through the gateway.

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 200)
const SEED = Number(process.env.FUZZ_SEED ?? 17)

setDefaultTimeout(600_000)

const dice = new Dice(SEED)
const scripts = Array.from({ length: ROUNDS }, (_, i) => makeScript(dice, `script ${i}`))
const python =
  Bun.spawnSync(["/usr/bin/python3", "-c", "import websockets"], { stderr: "ignore" }).exitCode === 0

describe.skipIf(!python)("relay differential", () => {
  let service: EchoServer
  let seen: Transcripts
  const doors = new Map<string, ServedGateway>()

  beforeAll(async () => {
    service = await startPythonEcho()
    for (const lane of [true, false]) {
      const gateway = serveGateway({
        server: { lane },
        services: { echo: { instances: [`http://127.0.0.1:${service.port}`] } },
        routes: [{ path: "/*", service: "echo", websocket: "relay" }],
      })
      doors.set(lane ? "lane" : "Serve door", gateway)
    }
    const targets = [...doors].map(([name, { port }]) => ({ name, port }))
    seen = await ask([{ name: "direct", port: service.port }, ...targets], scripts)
  })
  afterAll(async () => {
    for (const gateway of doors.values()) gateway.close()
    await service?.stop()
  })

  test.each(["lane", "Serve door"])(
    `[S-FR4.2] ${ROUNDS} clients see through the %s what they see without (seed ${SEED})`,
    (door) => {
      const different = scripts.flatMap((each) => {
        const direct = observed(each, seen.direct![each.id]!)
        const relayed = observed(each, seen[door]![each.id]!)
        return Bun.deepEquals(direct, relayed)
          ? []
          : [{ script: each.id, does: each.does, steps: each.steps, direct, relayed }]
      })
      expect(different).toEqual([])
    },
  )

  test.each(["direct", "lane", "Serve door"])("%s: every answer is the one the script wants", (target) => {
    const wrong = scripts.flatMap((each) => {
      const problem = judge(each, seen[target]![each.id])
      return problem === undefined ? [] : [`${each.id}, ${each.does}: ${problem}`]
    })
    expect(wrong).toEqual([])
  })

  test("[F-30] no relay is left when the clients have gone", async () => {
    await until(
      () => [...doors.values()].every(({ relays }) => relays.size === 0),
      "all relays to end",
      15_000,
    )
  })
})
