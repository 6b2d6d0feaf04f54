import { afterEach, describe, expect, test } from "bun:test"
import type { LookUp } from "../../src/upstream/resolved_address.ts"
import { serveGateway } from "../support/gateway.ts"
import { until } from "../support/until.ts"
import { openWs } from "../support/ws_client.ts"
import { startWsService } from "../support/ws_service.ts"

const METADATA = "169.254.169.254"
const closing: (() => unknown)[] = []

afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

/** A gateway before a WebSocket service at `app.test`, which the given lookup finds. */
function named(lookUp: LookUp, timeout = "5s") {
  const service = startWsService()
  const gateway = serveGateway(
    {
      services: { app: { instances: [`http://app.test:${service.port}`], timeout } },
      routes: [{ path: "/*", service: "app", websocket: "relay" }],
    },
    { lookUp },
  )
  closing.push(
    () => gateway.close(),
    () => service.stop(),
  )
  return { gateway, open: () => openWs(`ws://127.0.0.1:${gateway.port}/`) }
}

describe("[F-38] a WebSocket to a named instance", () => {
  test("goes to the address the gateway's own lookup found", async () => {
    // The system's resolver knows no app.test: it would fail if it were asked.
    const client = await named(async () => ["127.0.0.1"]).open()
    client.socket.send("hello")
    await until(() => client.messages.length === 1, "the echo")
    client.socket.close()
  })

  test("is refused when the name is a link-local address", async () => {
    const { gateway, open } = named(async () => [METADATA])
    expect((await open()).error).toContain("502")
    expect(gateway.log.map((each) => each.event)).toContain("instance.address_refused")
  })

  test("is refused at the route's timeout when the lookup hangs", async () => {
    const { open } = named(() => new Promise<readonly string[]>(() => {}), "100ms")
    expect((await open()).error).toContain("504")
  })
})
