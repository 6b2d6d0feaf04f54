import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { accessToken } from "../support/access_token.ts"
import { SECRET } from "../support/authenticator.ts"
import { type Family, parseExposition, sampleValue } from "../support/exposition.ts"
import { endGateways, startGateway } from "../support/gateway_process.ts"
import { openRealtime } from "../support/realtime_client.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(30_000)
afterEach(endGateways)

test("[S-FR4.2 T-3.5] the metrics of channels show what happened, dead letters too", async () => {
  const access = { subscribe: {}, publish: {} }
  const gateway = await startGateway({
    auth: { issuer: "gatehouse", audience: "api", secret: SECRET },
    realtime: {
      namespaces: { kept: { ...access, delivery: "at_least_once", ack_timeout: "1s", max_deliveries: 1 } },
    },
  })
  const headers = { authorization: `Bearer ${accessToken({ id: "ada", scopes: ["realtime:publish"] })}` }
  const url = `ws://127.0.0.1:${gateway.port}/api/v1/realtime`
  const [stays, goes] = [await openRealtime(url, headers), await openRealtime(url, headers)]
  expect((await stays.ask({ type: "subscribe", channel: "kept:1" })).result.ack).toBe(true)
  const publish = { type: "publish", channel: "kept:1", data: "nobody takes it", key: "k" }
  expect((await goes.ask(publish)).result.duplicate).toBe(false)
  expect((await goes.ask(publish)).result.duplicate).toBe(true)
  goes.seen.socket.close(3333)
  await until(() => stays.of("publication").length >= 2, "the message once more")
  expect(stays.of("publication")[1]).toMatchObject({ offset: 1, attempt: 2 })
  const wanted: readonly (readonly [name: string, labels: Record<string, string>, value: number])[] = [
    ["gatehouse_realtime_connections", {}, 1],
    ["gatehouse_realtime_closed_total", { code: "other" }, 1],
    ["gatehouse_realtime_publications_total", { namespace: "kept", result: "accepted" }, 1],
    ["gatehouse_realtime_publications_total", { namespace: "kept", result: "duplicate" }, 1],
    ["gatehouse_realtime_dead_letters_total", { namespace: "kept", reason: "max_deliveries" }, 1],
  ]
  let page = new Map<string, Family>()
  await untilAsked(async () => {
    page = parseExposition(await (await gateway.admin("/metrics")).text())
    return wanted.every(([name, labels, value]) => sampleValue(page, name, labels) === value)
  }, "the metrics")
  expect(
    sampleValue(page, "gatehouse_realtime_redeliveries_total", { namespace: "kept" }),
  ).toBeGreaterThanOrEqual(1)
  const letters = await fetch(`${gateway.url}/api/v1/realtime/channels/kept:1/dead-letters`, { headers })
  expect(await letters.json()).toMatchObject({
    dead_letters: [{ subscriber: "ada", offset: 1, data: "nobody takes it", reason: "max_deliveries" }],
  })
})
