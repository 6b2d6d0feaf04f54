import { afterEach, expect, test } from "bun:test"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { issuerKey, TestIssuer } from "../support/issuer.ts"
import { until } from "../support/until.ts"

const [first, second] = [await issuerKey("first"), await issuerKey("second", "RS256")]
const opened: { close(): unknown }[] = []

afterEach(async () => {
  await endGateways()
  for (const each of opened.splice(0)) await each.close()
})

function openService(): string {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: ({ headers }) =>
      Response.json({ id: headers.get("x-user-id"), roles: headers.get("x-user-roles") }),
  })
  opened.push({ close: () => server.stop(true) })
  return `http://127.0.0.1:${server.port}`
}

function openIssuer(): TestIssuer {
  const issuer = new TestIssuer([first])
  opened.push(issuer)
  return issuer
}

const config = (issuer: TestIssuer, service: string, over: object = {}) => ({
  auth: { issuers: [{ issuer: issuer.url, audience: ["api"] }], ...over },
  services: { app: { instances: [service] } },
  routes: [{ path: "/app/*", service: "app" }],
})

const get = (gateway: GatewayProcess, token?: string) =>
  fetch(`${gateway.url}/app/x`, {
    headers: { "x-user-id": "forged", ...(token !== undefined && { authorization: `Bearer ${token}` }) },
  })

test("[T-4.2] [C-2.1] callers come with tokens of an issuer that is discovered; services are told who they are", async () => {
  const issuer = openIssuer()
  const gateway = await startGateway(config(issuer, openService()))
  const answer = await get(gateway, await issuer.token({ roles: ["user"] }))
  expect(await answer.json()).toEqual({ id: "ann", roles: "user" })
})

test("[F-51] [F-52] without a token, or with one that is wrong, nobody gets in; each refusal is logged and counted", async () => {
  const issuer = openIssuer()
  const gateway = await startGateway(config(issuer, openService()))
  const wrong = [
    await issuer.token({ aud: "other" }),
    await issuer.token({ exp: 1_600_000_000 }),
    await issuer.token({ iss: "https://else.example" }),
    await issuer.token({}, { ...second, kid: "first", alg: "RS256" }),
    `${await issuer.token()}x`,
  ]
  expect((await get(gateway)).status).toBe(401)
  for (const token of wrong) expect((await get(gateway, token)).status).toBe(401)
  await until(
    () => gateway.log.filter(({ event }) => event === "auth.refused").length === 6,
    "the log of six",
  )
  const metrics = await (await gateway.admin("/metrics")).text()
  expect(metrics).toContain('gatehouse_authentications_total{method="jwt",result="audience"} 1')
  expect(metrics).toContain('gatehouse_authentications_total{method="jwt",result="expired"} 1')
  expect(JSON.stringify(gateway.log)).not.toContain(wrong[0]!.slice(0, 40))
})

test("[F-53] an issuer changes its key, then goes away, and no request fails", async () => {
  const issuer = openIssuer()
  const gateway = await startGateway(config(issuer, openService()))
  const statuses: number[] = []
  const ask = async (key: typeof first, count: number) => {
    for (let i = 0; i < count; i++)
      statuses.push((await get(gateway, await issuer.token({ jti: crypto.randomUUID() }, key))).status)
  }
  await ask(first, 20)
  issuer.keys = [second, first]
  await Promise.all([ask(first, 20), ask(second, 20), ask(second, 20)])
  issuer.keys = [second]
  await issuer.close()
  await ask(second, 20)
  expect(statuses).toEqual(Array(100).fill(200))
})

test("an issuer that is named by a reload is accepted from then on", async () => {
  const issuer = openIssuer()
  const service = openService()
  const gateway = await startGateway({
    ...config(issuer, service),
    auth: { secret: "0123456789abcdefghijklmnopqrstuvwxyz" },
  })
  const token = await issuer.token()
  expect((await get(gateway, token)).status).toBe(401)
  gateway.writeConfig(config(issuer, service))
  await until(() => gateway.log.some(({ event }) => event === "config.applied"), "the reload")
  expect((await get(gateway, token)).status).toBe(200)
})
