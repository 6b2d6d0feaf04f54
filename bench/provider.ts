import { OpenIdProvider, providerKey } from "../test/support/oidc_provider.ts"
import { type BenchGateway, openGateway } from "./gateway.ts"
import { CONTENDER_CORE } from "./process.ts"

/** How long the provider is away, in seconds. Its keys are asked for again after 8 to 10 minutes at the latest. */
const AWAY_S = Number(process.env.BENCH_AWAY_S ?? 60)
const PER_SECOND = 10

/**
 * An OpenID provider changes its key, is away for a while, and comes back with a third key, while requests with
 * its tokens go on: each second one token the gateway has not seen before.
 */
export async function provider(): Promise<boolean> {
  const keys = await Promise.all(["first", "second", "third"].map(providerKey))
  const issuer = await OpenIdProvider.start({ keys: [keys[0]!] })
  const gateway = await openGateway(
    {
      auth: { issuers: [{ issuer: issuer.issuer, audience: ["api"] }] },
      services: {},
      routes: [{ path: "/hello", respond: { body: "hello" } }],
    },
    CONTENDER_CORE,
  )
  let back: OpenIdProvider | undefined
  try {
    const before = await run(gateway, await tokens(issuer, 5))
    issuer.restart({ keys: [keys[1]!, keys[0]!] })
    const rotated = await run(gateway, await tokens(issuer, 5))
    const kept = await tokens(issuer, AWAY_S)
    await issuer.close()
    const away = await run(gateway, kept)
    const unavailable = gateway.log.filter(({ event }) => event === "issuer.unavailable").length
    back = await OpenIdProvider.start({ keys: [keys[2]!], port: issuer.port })
    const returned = await run(gateway, await tokens(back, 5))
    console.log(`\nan OpenID provider changes its key, and is away for ${AWAY_S} s`)
    const phases = { before, "key changed": rotated, away, "back, third key": returned }
    for (const [name, { sent, failed }] of Object.entries(phases))
      console.log(`${name.padEnd(16)} ${String(sent).padStart(6)} requests, ${failed} failed`)
    const failed = Object.values(phases).reduce((sum, phase) => sum + phase.failed, 0)
    console.log(
      `failed attempts at its keys were told ${unavailable} times: ${failed === 0 ? "PASS" : "FAIL"}`,
    )
    return failed === 0
  } finally {
    await gateway.stop()
    await (back ?? issuer).close()
  }
}

async function tokens(from: OpenIdProvider, count: number): Promise<string[]> {
  const made: string[] = []
  for (let i = 0; i < count; i++) made.push(await from.accessToken())
  return made
}

/** One second a token, which is then one of those sent. */
async function run(
  { port }: BenchGateway,
  unseen: readonly string[],
): Promise<{ sent: number; failed: number }> {
  let sent = 0
  let failed = 0
  for (let second = 0; second < unseen.length; second++) {
    const startedAt = performance.now()
    for (let i = 0; i < PER_SECOND; i++) {
      const token = unseen[Math.max(0, second - i)]
      const headers = { authorization: `Bearer ${token}` }
      const response = await fetch(`http://127.0.0.1:${port}/hello`, { headers })
      await response.text()
      sent++
      if (response.status !== 200) failed++
    }
    await Bun.sleep(Math.max(0, 1000 - (performance.now() - startedAt)))
  }
  return { sent, failed }
}
