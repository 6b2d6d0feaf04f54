import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test"
import { accessToken } from "../support/access_token.ts"
import { SECRET } from "../support/authenticator.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(30_000)

interface Question {
  readonly action: string
  readonly channel: string
  readonly user: { readonly id: string } | null
}

const asked: Question[] = []
let gate = Promise.withResolvers<void>()
/** Lets everybody but eve read; questions about channels that end in "slow" wait for the gate. */
const judge = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  development: false,
  async fetch(request) {
    const question = (await request.json()) as Question
    asked.push(question)
    if (question.channel.endsWith("slow")) await gate.promise
    return new Response(null, { status: question.user?.id === "eve" ? 403 : 204 })
  },
})
const askedAbout = () => asked.map(({ channel }) => channel).sort()

const ask = { service: "judge", path: "/may", timeout: "20s" }
const NAMESPACES = {
  asked: { subscribe: { ask } },
  hasty: { subscribe: { ask: { ...ask, timeout: "200ms" } } },
  down: { subscribe: { ask: { ...ask, service: "down" } } },
  own: { subscribe: { when: "key == principal.id", ask } },
  open: { subscribe: {} },
}

const config = (namespaces: object = NAMESPACES) => ({
  server: { workers: 1 },
  auth: { issuer: "gatehouse", audience: "api", secret: SECRET },
  // Port 1 of this machine: nobody listens there.
  services: { judge: { instances: [judge.url.origin] }, down: { instances: ["http://127.0.0.1:1"] } },
  realtime: { namespaces },
})

let gateway: GatewayProcess
beforeAll(async () => {
  gateway = await startGateway(config())
})
beforeEach(() => {
  asked.length = 0
  gate = Promise.withResolvers<void>()
})
afterAll(async () => {
  await endGateways()
  await judge.stop(true)
})

const bearer = (id: string) => ({
  authorization: `Bearer ${accessToken({ id, tokenId: `token-${id}` })}`,
})

/** The status of a read as both ways of HTTP have it. */
async function statuses(channels: string, id: string): Promise<readonly number[]> {
  const found: number[] = []
  for (const path of [`/sse?${channels}`, `/poll?${channels}&wait=0`]) {
    const response = await fetch(`${gateway.url}/api/v1/realtime${path}`, { headers: bearer(id) })
    found.push(response.status)
    await response.body?.cancel()
  }
  return found
}

test("a service decides who reads by server-sent events and long polls, too", async () => {
  expect(await statuses("channel=asked:1", "ada")).toEqual([200, 200])
  expect(await statuses("channel=asked:1", "eve")).toEqual([403, 403])
  expect(asked[0]).toMatchObject({ action: "subscribe", channel: "asked:1", user: { id: "ada" } })
  expect(asked).toHaveLength(4)
})

test("of several channels the service is asked for each, and one refusal refuses the request", async () => {
  expect(await statuses("channel=asked:1&channel=open:1&channel=asked:2", "ada")).toEqual([200, 200])
  expect(askedAbout()).toEqual(["asked:1", "asked:1", "asked:2", "asked:2"])
  expect(await statuses("channel=open:1&channel=asked:1", "eve")).toEqual([403, 403])
})

test("whom the rules of the namespace refuse, nobody asks for", async () => {
  expect(await statuses("channel=own:bob", "ada")).toEqual([403, 403])
  expect(asked).toEqual([])
  expect(await statuses("channel=own:ada", "ada")).toEqual([200, 200])
  expect(await statuses("channel=own:eve", "eve")).toEqual([403, 403])
})

test("while the service thinks others are served; where it takes too long, or is down, nobody reads", async () => {
  const waiting = statuses("channel=asked:slow", "ada")
  await until(() => asked.length === 1, "the question")
  expect(await statuses("channel=open:1", "ada")).toEqual([200, 200])
  expect(await statuses("channel=hasty:slow", "ada")).toEqual([503, 503])
  expect(await statuses("channel=down:1", "ada")).toEqual([503, 503])
  gate.resolve()
  expect(await waiting).toEqual([200, 200])
})

test("a configuration that changes while the service thinks holds for the reader that waits", async () => {
  const reading = fetch(`${gateway.url}/api/v1/realtime/poll?channel=asked:slow&wait=0`, {
    headers: bearer("ada"),
  })
  await until(() => asked.length === 1, "the question")
  const doctors = { subscribe: { roles: ["doctor"] } }
  gateway.writeConfig(config({ ...NAMESPACES, asked: doctors, open: doctors }))
  await untilAsked(async () => (await statuses("channel=open:1", "ada"))[0] === 403, "the new configuration")
  gate.resolve()
  expect((await reading).status).toBe(503)
  expect(await statuses("channel=asked:slow", "ada")).toEqual([403, 403])
})
