import { afterAll, afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { copyFileSync, readdirSync, readFileSync, readlinkSync, renameSync } from "node:fs"
import { join } from "node:path"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { type Identity, Pki } from "../support/pki.ts"
import { openTls } from "../support/tls_client.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(30_000)

const pki = new Pki()
const authority = pki.authority("authority")
const next = pki.authority("next")
const server = pki.leaf("server", { by: authority, names: "IP:127.0.0.1" })
const successor = pki.leaf("successor", { by: authority, names: "IP:127.0.0.1" })
const client = pki.leaf("client", { by: authority })
const newcomer = pki.leaf("newcomer", { by: next })
let asked = 0
const service = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  development: false,
  fetch() {
    asked++
    return new Response("ok")
  },
})
afterEach(() => endGateways())
afterAll(() => {
  pki.remove()
  void service.stop(true)
})

const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/** Replaces a file in one step. */
function put(from: string, to: string): void {
  copyFileSync(from, `${to}.new`)
  renameSync(`${to}.new`, to)
}

async function start(): Promise<{
  gateway: GatewayProcess
  files: { cert: string; key: string; client_ca: string }
}> {
  const files = {
    cert: join(pki.directory, "live.crt"),
    key: join(pki.directory, "live.key"),
    client_ca: join(pki.directory, "live-ca.crt"),
  }
  put(server.certFile, files.cert)
  put(server.keyFile, files.key)
  put(authority.certFile, files.client_ca)
  const gateway = await startGateway({
    server: { tls: files },
    services: { s: { instances: [service.url.origin] } },
    defaults: { access_log: {} },
    routes: [{ path: "/*", service: "s" }],
  })
  return { gateway, files }
}

/** One request on a connection of its own; the answer's status line, "" for a client that was refused. */
async function ask(port: number, identity: Identity | undefined): Promise<string> {
  const raw = await openTls(port, identity)
  raw.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
  await until(() => raw.closed, "the end of the connection")
  return raw.received.slice(0, raw.received.indexOf("\r\n"))
}

/** Ports of 127.0.0.1 the process listens on. */
function listening(pid: number): number[] {
  const own = new Set<string>()
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      own.add(readlinkSync(`/proc/${pid}/fd/${fd}`))
    } catch {
      // Closed in the meantime.
    }
  }
  const ports = new Set<number>()
  for (const line of readFileSync(`/proc/${pid}/net/tcp`, "utf8").split("\n").slice(1)) {
    const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/)
    if (state === "0A" && own.has(`socket:[${inode}]`)) ports.add(Number.parseInt(local.split(":")[1]!, 16))
  }
  return [...ports]
}

test("[C-2.8 F-64] several workers share the port: who has a certificate is served by each, who has none by none", async () => {
  const { gateway } = await start()
  const before = asked
  const good = await Promise.all(Array.from({ length: 20 }, () => ask(gateway.port, client)))
  expect(new Set(good)).toEqual(new Set(["HTTP/1.1 200 OK"]))
  expect(asked - before).toBe(20)
  const bad = await Promise.all(
    Array.from({ length: 20 }, (_, i) => ask(gateway.port, i % 2 ? newcomer : undefined)),
  )
  expect(new Set(bad)).toEqual(new Set([""]))
  expect(asked - before).toBe(20)
  await until(() => gateway.accessLog.length === 20, "the access log")
  expect(new Set(gateway.accessLog.map((line) => line.client))).toEqual(new Set(["127.0.0.1"]))
})

test("[F-64] another local process that finds the inner doors is refused, and nothing of it is a request", async () => {
  const { gateway } = await start()
  const inner = listening(gateway.pid).filter((port) => port !== gateway.port && port !== gateway.adminPort)
  // One a worker.
  expect(inner.length).toBe(2)
  const before = asked
  for (const port of inner) {
    const response = await fetch(`http://127.0.0.1:${port}/`, { headers: { "x-forwarded-for": "1.2.3.4" } })
    expect(response.status).toBe(403)
    expect(response.headers.get("connection")).toBe("close")
  }
  expect(asked).toBe(before)
  expect(gateway.accessLog).toEqual([])
})

test("certificate and authority are replaced under load without a failed request", async () => {
  const { gateway, files } = await start()
  const kept = await openTls(gateway.port, client)
  kept.send(GET)
  await kept.seen("ok")
  let done = false
  let served = 0
  const failed: string[] = []
  const load = Array.from({ length: 4 }, async () => {
    while (!done) {
      const status = await ask(gateway.port, client)
      if (status === "HTTP/1.1 200 OK") served++
      else failed.push(status)
    }
  })
  await until(() => served > 10, "the load")
  put(successor.certFile, files.cert)
  put(successor.keyFile, files.key)
  const replaced = () => gateway.log.filter((line) => line.event === "tls.replaced").length
  await until(() => replaced() === 1, "the new certificate")
  const later = served
  await until(() => served > later + 30, "more load")
  done = true
  await Promise.all(load)
  expect(failed).toEqual([])
  // The connection that was open goes on, and is told to make place for one with the new certificate.
  kept.send(GET)
  await kept.seen("ok", 2)
  expect(kept.received.toLowerCase().split("connection: close").length).toBe(2)
  // Another authority: who is of the old one stays out from now on.
  put(next.certFile, files.client_ca)
  await until(() => replaced() === 2, "the new authority")
  // The old listeners go on for a moment with what the kernel has queued for them.
  const answers = (identity: Identity) =>
    Promise.all(Array.from({ length: 8 }, () => ask(gateway.port, identity)))
  const deadline = performance.now() + 5000
  let welcome: string[]
  let refused: string[]
  do {
    welcome = await answers(newcomer)
    refused = await answers(client)
  } while ((welcome.includes("") || refused.some(Boolean)) && performance.now() < deadline)
  expect(welcome).toEqual(Array(8).fill("HTTP/1.1 200 OK"))
  expect(refused).toEqual(Array(8).fill(""))
})

test("SIGTERM: answers tell clients to go, and the process ends in order", async () => {
  const { gateway } = await start()
  const raw = await openTls(gateway.port, client)
  gateway.signal("SIGTERM")
  // The workers hear of it a moment later; until then the connection just goes on.
  for (let i = 1; !raw.closed && i < 1000; i++) {
    raw.send(GET)
    await raw.seen("\r\n\r\nok", i)
  }
  expect(raw.received.toLowerCase()).toContain("connection: close")
  expect(raw.received).toEndWith("ok")
  expect(await gateway.exited).toBe(0)
})
