import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { accessToken } from "../support/access_token.ts"
import { SECRET } from "../support/authenticator.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(30_000)
afterEach(endGateways)

const NAMESPACES = {
  session: { subscribe: {}, publish: {}, join_leave: true, history: { size: 5 } },
  kept: { subscribe: {}, publish: {}, delivery: "at_least_once" },
  user: { subscribe: { when: "key == principal.id" } },
}

const config = (realtime: object = {}) => ({
  auth: { issuer: "gatehouse", audience: "api", secret: SECRET },
  realtime: { namespaces: NAMESPACES, ...realtime },
})

const bearer = (id: string) => ({
  authorization: `Bearer ${accessToken({ id, tokenId: `token-${id}`, scopes: ["realtime:publish"] })}`,
})
const at = ({ url }: GatewayProcess, path: string) => `${url}/api/v1/realtime${path}`

async function publish(gateway: GatewayProcess, channel: string, data: unknown): Promise<void> {
  const response = await fetch(at(gateway, `/channels/${channel}/messages`), {
    method: "POST",
    headers: { ...bearer("service"), "content-type": "application/json" },
    body: JSON.stringify({ data }),
  })
  expect(response.status).toBe(200)
}

interface ServerEvent {
  readonly event: string
  readonly id: string
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it reads
  readonly data: any
}

/** Reads server-sent events as the HTML standard says, as far as the gateway uses it. */
async function openEvents(url: string, headers: Record<string, string>) {
  const stop = new AbortController()
  const response = await fetch(url, { headers, signal: stop.signal })
  const events: ServerEvent[] = []
  let comments = 0
  let ended = false
  const read = async (): Promise<void> => {
    const decoder = new TextDecoder()
    let rest = ""
    for await (const chunk of response.body!) {
      const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n")
      rest = blocks.pop()!
      for (const block of blocks) {
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1]
        const data = field("data")
        if (block.startsWith(":")) comments++
        if (data !== undefined)
          events.push({ event: field("event") ?? "message", id: field("id") ?? "", data: JSON.parse(data) })
      }
    }
  }
  const reading = read().then(
    () => {
      ended = true
    },
    () => {
      ended = true // cut off, by either side
    },
  )
  return {
    response,
    events,
    comments: () => comments,
    messages: () => events.filter(({ event }) => event === "message"),
    ended: () => ended,
    async close() {
      stop.abort()
      await reading
    },
  }
}

test("events of several channels come as they are published, each with a place to come back to", async () => {
  const gateway = await startGateway(config())
  const path = "/sse?channel=session:1&channel=session:2"
  const stream = await openEvents(at(gateway, path), bearer("ada"))
  expect(stream.response.headers.get("content-type")).toBe("text/event-stream")
  await until(() => stream.events.filter(({ event }) => event === "subscribed").length === 2, "both channels")
  await publish(gateway, "session:1", "a")
  await publish(gateway, "session:2", "b")
  await until(() => stream.messages().length === 2, "both messages")
  expect(stream.messages().map(({ data }) => [data.channel, data.offset, data.data])).toEqual([
    ["session:1", 1, "a"],
    ["session:2", 1, "b"],
  ])
  const place = stream.messages()[1]!.id
  expect(place).toMatch(/^[\w-]+:1,[\w-]+:1$/)
  await stream.close()
  await publish(gateway, "session:1", "c")
  await publish(gateway, "session:2", "d")
  const again = await openEvents(at(gateway, path), { ...bearer("ada"), "last-event-id": place })
  await until(() => again.messages().length === 2, "what was missed")
  expect(again.messages().map(({ data }) => data.data)).toEqual(["c", "d"])
  expect(
    again.events.filter(({ event }) => event === "subscribed").map(({ data }) => data.recovered),
  ).toEqual([true, true])
  await publish(gateway, "session:2", "e")
  await until(() => again.messages().length === 3, "what comes next")
  await again.close()
})

test("a reader that stayed away too long is told that something is missing", async () => {
  const gateway = await startGateway(config())
  for (let n = 0; n < 8; n++) await publish(gateway, "session:1", n)
  const poll = await fetch(at(gateway, "/poll?channel=session:1"), { headers: bearer("ada") })
  const { since } = (await poll.json()) as { since: string }
  const epoch = since.split(":")[0]!
  const stream = await openEvents(at(gateway, "/sse?channel=session:1"), {
    ...bearer("ada"),
    "last-event-id": `${epoch}:1`,
  })
  await until(() => stream.events.length > 0, "the answer")
  expect(stream.events[0]).toMatchObject({ event: "subscribed", data: { recovered: false } })
  await stream.close()
  const lost = await fetch(at(gateway, `/poll?channel=session:1&since=${epoch}:1`), {
    headers: bearer("ada"),
  })
  expect(await lost.json()).toEqual({ since: `${epoch}:8`, lost: ["session:1"], publications: [] })
})

test("readers come under the rules of subscribers: who they are, and what they may read", async () => {
  const gateway = await startGateway(config())
  const statuses: number[] = []
  for (const [path, headers] of [
    ["/sse?channel=session:1", {}],
    ["/poll?channel=session:1", {}],
    ["/poll?channel=user:bob", bearer("ada")],
    ["/poll?channel=user:ada&wait=0", bearer("ada")],
    ["/sse?channel=none:1", bearer("ada")],
    ["/sse", bearer("ada")],
    ["/poll?channel=session:1&since=nonsense", bearer("ada")],
    ["/poll?channel=session:1&wait=61", bearer("ada")],
    ["/poll?channel=session:1", { authorization: "Bearer forged" }],
  ] as const) {
    const response = await fetch(at(gateway, path), { headers })
    statuses.push(response.status)
    await response.body?.cancel()
  }
  expect(statuses).toEqual([401, 401, 403, 200, 404, 400, 400, 400, 401])
})

test("with `anonymous` whoever nobody knows may read what is open to all, and nothing else", async () => {
  const gateway = await startGateway(
    config({ anonymous: true, namespaces: { ...NAMESPACES, open: { subscribe: { anonymous: true } } } }),
  )
  const open = await fetch(at(gateway, "/poll?channel=open:1&wait=0"))
  expect(open.status).toBe(200)
  expect((await fetch(at(gateway, "/poll?channel=session:1&wait=0"))).status).toBe(401)
})

test("a poll waits for the next message, and goes on from there", async () => {
  const gateway = await startGateway(config())
  const poll = async (query: string) => {
    const response = await fetch(at(gateway, `/poll?channel=kept:1${query}`), { headers: bearer("ada") })
    expect(response.status).toBe(200)
    return (await response.json()) as { since: string; publications: { data: unknown }[] }
  }
  const { since } = await poll("")
  const waiting = poll(`&since=${since}&wait=20`)
  await publish(gateway, "kept:1", "one")
  const first = await waiting
  expect(first.publications).toMatchObject([
    { push: "publication", channel: "kept:1", offset: 1, data: "one" },
  ])
  expect((await poll(`&since=${first.since}&wait=0`)).publications).toEqual([])
  await publish(gateway, "kept:1", "two")
  await publish(gateway, "kept:1", "three")
  const rest = await poll(`&since=${first.since}`)
  expect(rest.publications.map(({ data }) => data)).toEqual(["two", "three"])
})

test("readers are counted with the connections of their user, and given back when they leave", async () => {
  const gateway = await startGateway(config({ max_connections_per_user: 2 }))
  const url = at(gateway, "/sse?channel=session:1")
  const streams = [await openEvents(url, bearer("ada")), await openEvents(url, bearer("ada"))]
  expect((await fetch(url, { headers: bearer("ada") })).status).toBe(429)
  await streams[0]!.close()
  await until(() => streams[0]!.ended(), "the end")
  const free = async (): Promise<boolean> => {
    const stream = await openEvents(url, bearer("ada"))
    await stream.close()
    return stream.response.status === 200
  }
  let again = false
  for (let round = 0; round < 50 && !again; round++) again = await free()
  expect(again).toBe(true)
  await streams[1]!.close()
})

test("a gateway that stops sends its readers to another one", async () => {
  const gateway = await startGateway(config())
  const stream = await openEvents(at(gateway, "/sse?channel=session:1"), bearer("ada"))
  await until(() => stream.events.length > 0, "the start")
  gateway.signal("SIGTERM")
  await until(() => stream.ended(), "the end")
  expect(stream.events.at(-1)).toMatchObject({ event: "disconnect", data: { code: 4000, reconnect: true } })
})
