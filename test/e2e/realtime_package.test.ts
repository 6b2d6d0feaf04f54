import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { connect, type RealtimeClient } from "../../src/client/connect.ts"
import { accessToken } from "../support/access_token.ts"
import { SECRET } from "../support/authenticator.ts"
import { startBrowser } from "../support/browser.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(60_000)

const clients: RealtimeClient[] = []
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await endGateways()
})

const config = {
  auth: { issuer: "gatehouse", audience: "api", secret: SECRET },
  realtime: {
    rate: "1000/s",
    namespaces: {
      session: { subscribe: {}, publish: {}, history: { size: 10_000 } },
      kept: {
        subscribe: {},
        publish: {},
        delivery: "at_least_once",
        ack_timeout: "1s",
        history: { size: 10_000 },
      },
    },
  },
}

const endpoint = ({ url }: GatewayProcess) => `${url}/api/v1/realtime`
const tokenOf = (id: string) => accessToken({ id, tokenId: `token-${id}` })

/** Passes bytes on to the gateway until it is told to cut all connections. */
function startCutter(port: number) {
  const open = new Set<{ terminate(): void }>()
  const server = Bun.listen<{ up?: Bun.Socket; early: Buffer[] }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(client) {
        client.data = { early: [] }
        open.add(client)
        void Bun.connect({
          hostname: "127.0.0.1",
          port,
          socket: {
            open(up) {
              client.data.up = up
              for (const bytes of client.data.early) up.write(bytes)
            },
            data: (_, bytes) => void client.write(bytes),
            close: () => client.terminate(),
          },
        })
      },
      data(client, bytes) {
        if (client.data.up === undefined) client.data.early.push(Buffer.from(bytes))
        else client.data.up.write(bytes)
      },
      close(client) {
        open.delete(client)
        client.data.up?.terminate()
      },
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}/api/v1/realtime`,
    cut() {
      for (const socket of [...open]) socket.terminate()
    },
    close: () => server.stop(true),
  }
}

function open(url: string, id: string, more: object = {}): RealtimeClient {
  const client = connect(url, { token: tokenOf(id), backoffMs: 20, maxBackoffMs: 100, ...more })
  clients.push(client)
  return client
}

for (const namespace of ["session", "kept"])
  test(`a client whose connections are cut again and again gets each message of ${namespace} once and in order, and publishes so`, async () => {
    const gateway = await startGateway(config)
    const cutter = startCutter(gateway.port)
    const channel = `${namespace}:1`
    const seen: number[] = []
    const lost: unknown[] = []
    const reader = open(cutter.url, "ada")
    const subscription = reader.subscribe<number>(channel)
    subscription.on("publication", async ({ data }) => void seen.push(data))
    subscription.on("lost", (what) => lost.push(what))
    await until(() => subscription.state === "subscribed", "the subscription")
    const writer = open(cutter.url, "bob")
    const total = 300
    let sent = 0
    const published: Promise<unknown>[] = []
    while (sent < total) {
      for (let n = 0; n < 30; n++) published.push(writer.publish(channel, ++sent))
      await Promise.race([published[sent - 15], Bun.sleep(50)])
      cutter.cut()
    }
    await Promise.all(published)
    await until(() => seen.length >= total, "every message")
    expect(seen).toEqual(Array.from({ length: total }, (_, i) => i + 1))
    expect(lost).toEqual([])
    cutter.close()
  })

test("a client rides out a gateway that is killed and comes back on its port", async () => {
  const gateway = await startGateway(config)
  const client = open(endpoint(gateway), "ada")
  const subscription = client.subscribe("session:1")
  const seen: unknown[] = []
  const lost: unknown[] = []
  subscription.on("publication", ({ data }) => seen.push(data))
  subscription.on("lost", ({ since }) => lost.push(since.offset))
  await until(() => subscription.state === "subscribed", "the first subscription")
  await client.publish("session:1", "before")
  await until(() => seen.length === 1, "the first message")
  const { port } = gateway
  await endGateways()
  const waiting = client.publish("session:1", "meanwhile")
  await startGateway({ ...config, server: { port } })
  await waiting
  await until(() => subscription.state === "subscribed", "the second subscription")
  await client.publish("session:1", "after")
  await until(() => seen.includes("after"), "the last message")
  // Channels in memory end with the process: that the past is gone is told.
  expect(lost).toEqual([1])
})

test("a ticket lets in once", async () => {
  const gateway = await startGateway(config)
  const ticket = async () => {
    const headers = { authorization: `Bearer ${tokenOf("ada")}` }
    const response = await fetch(`${endpoint(gateway)}/ticket`, { method: "POST", headers })
    return ((await response.json()) as { ticket: string }).ticket
  }
  const users: (string | undefined)[] = []
  const client = open(endpoint(gateway), "ada", { token: undefined, ticket })
  client.on("connected", ({ user }) => users.push(user))
  await until(() => users.length === 1, "the connection")
  const used = await ticket()
  const first = open(endpoint(gateway), "ada", { token: undefined, ticket: () => used })
  await until(() => first.state === "connected", "the first with the ticket")
  const second = open(endpoint(gateway), "ada", { token: undefined, ticket: () => used })
  second.on("error", () => {})
  await until(() => second.state === "closed", "the refusal of the second")
  expect(users).toEqual(["ada"])
})

test("the built package works in a browser: it connects, resumes after a cut and gets each message once", async () => {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-client-"))
  const entrypoints = [join(import.meta.dir, "../../src/client/connect.ts")]
  const built = await Bun.build({ entrypoints, target: "browser", format: "esm", outdir: directory })
  const gateway = await startGateway(config)
  const cutter = startCutter(gateway.port)
  const page = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) =>
      new URL(request.url).pathname === "/client.js"
        ? new Response(Bun.file(built.outputs[0]!.path), { headers: { "content-type": "text/javascript" } })
        : new Response(
            `<!doctype html><script type="module">
            import { connect } from "/client.js"
            const query = new URLSearchParams(location.search)
            const client = connect(query.get("url"), { token: query.get("token"), backoffMs: 20 })
            window.seen = []
            window.events = []
            window.client = client
            window.subscription = client.subscribe("session:1")
            subscription.on("publication", ({ data }) => seen.push(data))
            subscription.on("recovered", ({ publications }) => events.push(publications))
          </script>`,
            { headers: { "content-type": "text/html" } },
          ),
  })
  const { browser, close } = await startBrowser()
  try {
    const tab = await browser.newPage()
    const query = new URLSearchParams({ url: cutter.url, token: tokenOf("ada") })
    await tab.goto(`http://127.0.0.1:${page.port}/?${query}`)
    await tab.waitForFunction("window.subscription?.state === 'subscribed'")
    const writer = open(endpoint(gateway), "bob")
    await writer.publish("session:1", 1)
    await tab.waitForFunction("seen.length === 1")
    cutter.cut()
    await writer.publish("session:1", 2)
    await tab.evaluate("client.publish('session:1', 'from the page')")
    await tab.waitForFunction("seen.length === 3")
    expect(await tab.evaluate("JSON.stringify(seen)")).toBe('[1,2,"from the page"]')
    expect(await tab.evaluate("events.length")).toBe(1)
  } finally {
    await close()
    await page.stop(true)
    cutter.close()
    rmSync(directory, { recursive: true })
  }
})

/** What a user of the package has: it, and the package `ws`, in a folder of their own. */
async function install(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-client-"))
  const modules = join(directory, "node_modules")
  const outdir = join(modules, "gatehouse-client")
  mkdirSync(outdir, { recursive: true })
  symlinkSync(join(import.meta.dir, "../../node_modules/ws"), join(modules, "ws"))
  const entrypoints = [join(import.meta.dir, "../../src/client/connect.ts")]
  await Bun.build({ entrypoints, target: "browser", format: "esm", outdir })
  const entry = { name: "gatehouse-client", type: "module", exports: { ".": "./connect.js" } }
  writeFileSync(join(outdir, "package.json"), JSON.stringify(entry))
  return directory
}

const PROGRAM = `
import { connect } from "gatehouse-client"
import WebSocket from "ws"
const [url, token] = process.argv.slice(2)
const say = (what) => console.log(JSON.stringify(what))
try {
  connect(url)
} catch (error) {
  say({ without: error.message })
}
const client = connect(url, { token, WebSocket, backoffMs: 20 })
for (const name of ["kept:1", "session:1"]) {
  const subscription = client.subscribe(name)
  subscription.on("subscribed", () => say({ subscribed: name }))
  subscription.on("recovered", () => say({ recovered: name }))
  subscription.on("lost", () => say({ lost: name }))
  subscription.on("publication", async ({ data }) => {
    say({ [name]: data })
    if (data === "end") client.close()
  })
}
client.on("connected", () => client.publish("session:1", "from Node"))
`

test("the built package works in Node without a WebSocket of its own, by that of ws: it resumes after a cut and ends the process when closed", async () => {
  const directory = await install()
  writeFileSync(join(directory, "main.mjs"), PROGRAM)
  const gateway = await startGateway(config)
  const cutter = startCutter(gateway.port)
  const node = Bun.spawn(["node", "--no-experimental-websocket", "main.mjs", cutter.url, tokenOf("ada")], {
    cwd: directory,
    stdout: "pipe",
    stderr: "pipe",
  })
  let said = ""
  const reading = (async () => {
    for await (const chunk of node.stdout) said += new TextDecoder().decode(chunk)
  })()
  try {
    await until(() => said.split("subscribed").length === 3, "the subscriptions")
    const writer = open(endpoint(gateway), "bob")
    for (const name of ["kept:1", "session:1"]) await writer.publish(name, 1)
    await until(() => said.includes('{"kept:1":1}') && said.includes('{"session:1":1}'), "the first messages")
    cutter.cut()
    for (const name of ["kept:1", "session:1"]) await writer.publish(name, 2)
    await until(() => said.includes('{"kept:1":2}') && said.includes('{"session:1":2}'), "what was missed")
    await writer.publish("kept:1", "end")
    expect(await node.exited).toBe(0)
    await reading
    const lines = said.trim().split("\n")
    expect(lines[0]).toContain("there is no global WebSocket; give one, such as that of the package ws")
    expect(lines.filter((line) => line.includes("kept:1"))).toEqual([
      '{"subscribed":"kept:1"}',
      '{"kept:1":1}',
      '{"subscribed":"kept:1"}',
      '{"recovered":"kept:1"}',
      '{"kept:1":2}',
      '{"kept:1":"end"}',
    ])
    expect(lines.filter((line) => line.includes("from Node"))).toHaveLength(2)
    expect(said).not.toContain("lost")
  } finally {
    node.kill("SIGKILL")
    cutter.close()
    rmSync(directory, { recursive: true })
  }
})
