import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { parse } from "yaml"
import { accessToken } from "../support/access_token.ts"
import { SECRET } from "../support/authenticator.ts"
import { readExample } from "../support/example.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { openRealtime } from "../support/realtime_client.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(30_000)

/** What the services of the example were asked. */
const asked: { readonly path: string; readonly body: { readonly user: unknown } }[] = []
const services = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  async fetch(request) {
    const { pathname } = new URL(request.url)
    const body =
      request.method === "POST" ? ((await request.json()) as { user: { id: string } }) : { user: null }
    asked.push({ path: pathname, body })
    // Who takes part in the session.
    const stranger = pathname === "/participants" && body.user?.id === "stranger"
    return new Response(null, { status: stranger ? 403 : 204 })
  },
})
let gateway: GatewayProcess
beforeAll(async () => {
  const ours: Record<string, string> = { SECRET_KEY: SECRET, AUTH_HTTPS: "off", PORT: "0" }
  const text = readExample("tta.yaml")
    .replaceAll(/\$\{([A-Z0-9_]+)(?::-([^}]*))?\}/g, (_, name: string, otherwise = "") =>
      otherwise.startsWith("http:") ? `http://127.0.0.1:${services.port}` : (ours[name] ?? otherwise),
    )
    // Both copies at one address are one.
    .replaceAll(/instances: \["([^"]+)", "\1"\]/g, 'instances: ["$1"]')
  gateway = await startGateway(parse(text, { merge: true }) as object)
})
afterAll(async () => {
  await endGateways()
  await services.stop(true)
})

const bearer = (id: string, role: string, scopes = ["read", "write"]) => ({
  authorization: `Bearer ${accessToken({ id, tokenId: `token-${id}`, roles: [role], scopes })}`,
})
const open = (id: string, role = "patient") =>
  openRealtime(`ws://127.0.0.1:${gateway.port}/api/v1/realtime`, bearer(id, role))
const subscribe = (channel: string) => ({ type: "subscribe", channel })

test("[T-3.2 T-3.4] a crisis in a session reaches the clinician, the patient's devices and the safety service", async () => {
  const [pat, phone, peer, stranger, doc] = await Promise.all([
    open("pat"),
    open("pat"),
    open("peer"),
    open("stranger"),
    open("doc", "clinician"),
  ])
  expect((await pat.ask(subscribe("session:7"))).error).toBeUndefined()
  expect((await peer.ask(subscribe("session:7"))).error).toBeUndefined()
  expect((await stranger.ask(subscribe("session:7"))).error?.code).toBe("FORBIDDEN")
  expect((await stranger.ask(subscribe("safety:clinicians"))).error?.code).toBe("FORBIDDEN")
  expect((await doc.ask(subscribe("safety:clinicians"))).error).toBeUndefined()
  await phone.ask({ type: "ping" })
  const say = (text: string) => pat.ask({ type: "publish", channel: "session:7", data: { text } })
  expect((await say("I want to die")).error).toBeUndefined()
  await until(() => [pat, phone, doc].every((each) => each.of("safety").length === 1), "the pushes")
  await until(() => asked.some(({ path }) => path === "/events"), "the service")
  await until(() => peer.of("publication").length === 1 && doc.of("publication").length === 1, "the messages")
  expect(asked.find(({ path }) => path === "/events")!.body).toMatchObject({
    category: "self_harm",
    severity: "critical",
    user: "pat",
    channel: "session:7",
    message: '{"text":"I want to die"}',
  })
  expect([...peer.of("safety"), ...stranger.of("safety")]).toEqual([])
  expect((await say("I will hurt you")).error).toMatchObject({ code: "REFUSED" })
  expect((await say("")).error?.code).toBe("INVALID_DATA")
})

test("[T-3.4] services and clinicians report events themselves, patients do not", async () => {
  const doc = await open("doc2", "clinician")
  await doc.ask(subscribe("safety:clinicians"))
  const report = async (who: Record<string, string>) => {
    const body = JSON.stringify({ category: "crisis_call", severity: "high", user: "pat" })
    const url = `${gateway.url}/api/v1/safety/events`
    return (await fetch(url, { method: "POST", headers: who, body })).status
  }
  expect(await report(bearer("pat", "patient"))).toBe(403)
  expect(await report(bearer("doc", "clinician"))).toBe(202)
  expect(await report(bearer("monitor", "safety_service", ["read", "safety:report"]))).toBe(202)
  await until(() => doc.of("safety").length === 2, "both")
})
