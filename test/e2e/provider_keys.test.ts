import { afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import type { JWK } from "jose"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { OpenIdProvider, providerKey } from "../support/oidc_provider.ts"

setDefaultTimeout(30_000)

let first: JWK
let second: JWK
let provider: OpenIdProvider

beforeAll(async () => {
  first = await providerKey("first")
  second = await providerKey("second")
})
afterEach(async () => {
  await endGateways()
  await provider.close()
})

async function start(): Promise<GatewayProcess> {
  provider = await OpenIdProvider.start({ keys: [first] })
  return startGateway({
    auth: { issuers: [{ issuer: provider.issuer, audience: ["api"] }] },
    services: {},
    routes: [{ path: "/hello", respond: { body: "hello" } }],
  })
}

const tokens = (count: number) => Promise.all(Array.from({ length: count }, () => provider.accessToken()))

const kidOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split(".")[0]!, "base64url").toString()).kid

async function statusOf({ url }: GatewayProcess, token: string): Promise<number> {
  const response = await fetch(`${url}/hello`, { headers: { authorization: `Bearer ${token}` } })
  await response.text()
  return response.status
}

test("[F-53] a provider changes its key under traffic, and no request fails", async () => {
  const gateway = await start()
  const known = await tokens(10)
  let going = true
  const statuses = new Map<number, number>()
  const traffic = Array.from({ length: 4 }, async (_, lane) => {
    for (let i = lane; going; i++) {
      const status = await statusOf(gateway, known[i % known.length]!)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
      // The traffic must not starve what it is there to watch.
      await Bun.sleep(1)
    }
  })
  provider.restart({ keys: [second, first] })
  const fresh = await tokens(10)
  expect(new Set(fresh.map(kidOf))).toEqual(new Set(["second"]))
  // All at once, the first a worker sees of the new key.
  expect(await Promise.all(fresh.map((token) => statusOf(gateway, token)))).toEqual(fresh.map(() => 200))
  known.push(...fresh)
  for (const token of known) expect(await statusOf(gateway, token)).toBe(200)
  going = false
  await Promise.all(traffic)
  expect([...statuses.keys()]).toEqual([200])
  expect(statuses.get(200)).toBeGreaterThan(20)
})

test("[F-53] a provider is away, and tokens the gateway has not seen before are taken", async () => {
  const gateway = await start()
  const [seen, ...unseen] = await tokens(60)
  expect(await statusOf(gateway, seen!)).toBe(200)
  await provider.close()
  for (const token of unseen) expect(await statusOf(gateway, token)).toBe(200)

  provider = await OpenIdProvider.start({ keys: [second], port: provider.port })
  for (const token of await tokens(3)) expect(await statusOf(gateway, token)).toBe(200)
})
