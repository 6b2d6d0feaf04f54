import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { askFrom } from "../support/loopback_client.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(30_000)
afterEach(endGateways)

const ABUSE = { threshold: 20, weights: { not_found: 1 }, allow: [], block: { first: "1h" } }
const start = (abuse: object = {}, rest: object = {}) =>
  startGateway({ abuse: { ...ABUSE, ...abuse }, routes: [{ path: "/ok", respond: { body: "ok" } }], ...rest })

/** Asks many times for what is not there, each on a connection of its own: the kernel spreads them over the workers. */
const scan = (
  gateway: GatewayProcess,
  times: number,
  headers: (i: number) => Record<string, string>,
  from = "127.0.0.5",
) =>
  Promise.all(
    Array.from(
      { length: times },
      async (_, i) => (await askFrom(from, gateway.port, "/no", headers(i))).status,
    ),
  )
const plain = () => ({})
const isBlocked = async (gateway: GatewayProcess, from: string, headers = {}) => {
  const { status, text } = await askFrom(from, gateway.port, "/ok", headers)
  return status === 403 && text.includes("CLIENT_BLOCKED")
}
const wasLogged = (gateway: GatewayProcess, event: string) => gateway.log.some((line) => line.event === event)

test("[C-6.2 T-5.5 F-60] who scans for paths is refused by all workers, in words and numbers, and nobody else is", async () => {
  const gateway = await start(
    {},
    {
      store: "sqlite::memory:",
      auth: { secret: "k3J9-aZ81-pQw7-LmN2-xYt5-Vb60-Rs4e" },
      routes: [{ path: "/ok", respond: { body: "ok" }, auth: { required: false } }],
    },
  )
  // Claimed addresses change nothing: nobody here is a trusted proxy.
  await scan(gateway, 21, (i) => ({ "x-forwarded-for": `203.0.113.${i}` }))
  await eventually(allTell(gateway, true, "127.0.0.5"))
  for (let i = 0; i < 12; i++) {
    const { status, text } = await askFrom("127.0.0.5", gateway.port, "/ok")
    expect(status).toBe(403)
    expect(text).toMatch(/^retry-after: 3[56]\d\d\r$/im)
    expect(text).toMatch(/^connection: close\r$/im)
    expect(text).toContain(
      '{"error":{"code":"CLIENT_BLOCKED","message":"This client is blocked.","details":{}}',
    )
    expect(await isBlocked(gateway, "127.0.0.6")).toBe(false)
  }
  const page = await (await gateway.admin("/metrics")).text()
  expect(page).toContain('gatehouse_blocks_total{reason="not_found"} 1')
  expect(page).toContain("gatehouse_blocked_clients 1")
  // Clocks of workers differ by some milliseconds, and so may they about the last point.
  expect(page).toMatch(/gatehouse_violations_total\{violation="not_found"\} 2[01]\n/)
  expect(page).toMatch(/gatehouse_blocked_requests_total\{result="refused"\} (?:2\d|[3-9]\d)/)
  const audit = await (await gateway.admin("/admin/v1/audit?action=client.block")).json()
  expect(audit.records).toMatchObject([
    { actor: "gateway", subject: "127.0.0.5", details: { reason: "not_found" } },
  ])
})

test("[T-5.5] an operator ends a block, and begins one, for all workers at once", async () => {
  const gateway = await start()
  await scan(gateway, 21, plain)
  await eventually(allTell(gateway, true, "127.0.0.5"))
  expect((await gateway.admin("/admin/v1/blocks/127.0.0.5", { method: "DELETE" })).status).toBe(200)
  await eventually(allTell(gateway, false, "127.0.0.5"))
  const body = JSON.stringify({ address: "127.0.0.7", duration: "1h" })
  expect((await gateway.admin("/admin/v1/blocks", { method: "POST", body })).status).toBe(201)
  await eventually(allTell(gateway, true, "127.0.0.7"))
})

test("[T-5.5] a block ends by itself", async () => {
  const gateway = await start({ window: "1s", block: { first: "1s" } })
  await scan(gateway, 60, plain)
  await until(() => wasLogged(gateway, "client.unblocked"), "the end")
  // The log is the control plane's: its workers hear of it a moment later.
  await untilAsked(async () => !(await isBlocked(gateway, "127.0.0.5")), "the workers to hear of it")
})

test("[F-60] behind a trusted proxy the client is blocked and never the proxy, IPv6 by /64", async () => {
  const gateway = await start({}, { server: { trusted_proxies: ["127.0.0.5"] } })
  const via = (client: string) => ({ "x-forwarded-for": client })
  await scan(gateway, 21, (i) => via(`2001:db8:7:7:${i.toString(16)}::1`))
  await eventually(allTell(gateway, true, "127.0.0.5", via("2001:db8:7:7:ffff::9")))
  expect(gateway.log.find((line) => line.event === "client.blocked")!.client).toBe("2001:db8:7:7::/64")
  expect(await isBlocked(gateway, "127.0.0.5", via("2001:db8:7:8::9"))).toBe(false)
  await scan(gateway, 60, plain)
  expect(await isBlocked(gateway, "127.0.0.5")).toBe(false)
})

test("[V-rl.5] shadow mode tells whom it would block, and answers them", async () => {
  const gateway = await start({ mode: "shadow" })
  await scan(gateway, 40, plain)
  await until(() => wasLogged(gateway, "client.blocked"), "the block")
  expect(gateway.log.find((line) => line.event === "client.blocked")!.mode).toBe("shadow")
  await eventually(async () => {
    expect(await isBlocked(gateway, "127.0.0.5")).toBe(false)
    const page = await (await gateway.admin("/metrics")).text()
    return /gatehouse_blocked_requests_total\{result="shadowed"\} [1-9]/.test(page)
  })
})

test("[T-5.5] programs on the machine itself are not blocked unless config says so", async () => {
  const gateway = await startGateway({
    abuse: { threshold: 20 },
    routes: [{ path: "/ok", respond: { body: "ok" } }],
  })
  await scan(gateway, 60, plain, "127.0.0.1")
  await scan(gateway, 60, plain, "127.0.0.5")
  await eventually(allTell(gateway, true, "127.0.0.5"))
  expect(await isBlocked(gateway, "127.0.0.1")).toBe(false)
})

/** Whether both workers, as far as eight connections tell, block the client or let it in. */
const allTell =
  (gateway: GatewayProcess, blocked: boolean, from: string, headers = {}) =>
  async (): Promise<boolean> => {
    for (let i = 0; i < 8; i++) if ((await isBlocked(gateway, from, headers)) !== blocked) return false
    return true
  }

/** Workers are told one after the other. */
async function eventually(holds: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 5000; !(await holds()); )
    if (Date.now() > deadline) throw new Error("it did not come to hold within 5 s")
}
