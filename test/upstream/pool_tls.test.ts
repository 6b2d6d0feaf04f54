import { afterEach, describe, expect, test } from "bun:test"
import { readBody } from "../support/bodies.ts"
import { AUTHORITY, OTHER_AUTHORITY, SERVICE_CERTIFICATE, SERVICE_KEY } from "../support/certificates.ts"
import { FakeTime } from "../support/fake_time.ts"
import { closeAll, failure, get, listen, poolTo, response } from "../support/pool_to.ts"
import type { RawScript } from "../support/raw_upstream.ts"
import { until } from "../support/until.ts"

afterEach(closeAll)

const HELLO = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"

describe("TLS", () => {
  const serve = (script: RawScript) =>
    listen(script, { tls: { key: SERVICE_KEY, cert: SERVICE_CERTIFICATE } })
  const tls = { ca: AUTHORITY, serverName: "service.test", rejectUnauthorized: true }

  test("a verified instance answers, again on the same connection", async () => {
    const upstream = serve((connection) => connection.write(HELLO))
    const pool = poolTo(upstream.url, { tls })
    for (let i = 0; i < 3; i++) expect(await readBody(response(await get(pool)).body)).toBe("hello")
    expect(upstream.connections.length).toBe(1)
  })

  test.each([
    ["an authority that did not sign", { ...tls, ca: OTHER_AUTHORITY }],
    ["no authority but the system's", { ...tls, ca: undefined }],
    ["another name", { ...tls, serverName: "other.test" }],
    ["no name but the address", { ...tls, serverName: undefined }],
    ["an authority that is no PEM", { ...tls, ca: "garbage" }],
  ])("%s fails as connect, and nothing of the request is sent", async (_name, options) => {
    const upstream = serve((connection) => connection.write(HELLO))
    const pool = poolTo(upstream.url, { tls: options })
    const asked = failure(await get(pool))
    expect(asked).toMatchObject({ reason: "connect", sent: false })
    expect(pool.stats.open).toBe(0)
    expect(upstream.connections.every((connection) => connection.received === "")).toBe(true)
  })

  test("an instance at an IP address is sent no server name, as RFC 6066 wants", async () => {
    const upstream = listen(() => undefined)
    const url = upstream.url.replace("http:", "https:")
    for (const [i, [serverName, sent]] of (
      [
        [undefined, false],
        ["service.test", true],
      ] as const
    ).entries()) {
      const asked = get(poolTo(url, { tls: { ...tls, serverName } }))
      await until(() => (upstream.connections[i]?.bytesReceived ?? 0) > 0, "the hello")
      expect(upstream.last.received.includes("127.0.0.1")).toBe(false)
      expect(upstream.last.received.includes("service.test")).toBe(sent)
      upstream.last.reset()
      await asked
    }
  })

  test("verification can be turned off", async () => {
    const upstream = serve((connection) => connection.write(HELLO))
    const options = { ca: undefined, serverName: undefined, rejectUnauthorized: false }
    expect(response(await get(poolTo(upstream.url, { tls: options }))).status).toBe(200)
  })

  test("an instance that speaks no TLS is a connect failure", async () => {
    const upstream = listen(() => undefined)
    const pool = poolTo(upstream.url.replace("http:", "https:"), { tls })
    const asked = get(pool)
    await until(() => (upstream.connections[0]?.bytesReceived ?? 0) > 0, "the hello")
    upstream.last.write("HTTP/1.1 400 Bad Request\r\n\r\n")
    expect(failure(await asked)).toMatchObject({ reason: "connect", sent: false })
  })

  test("a handshake that never ends is a connect_timeout", async () => {
    const upstream = listen(() => undefined)
    const time = new FakeTime()
    const pool = poolTo(upstream.url.replace("http:", "https:"), {
      tls,
      clock: time.now,
      connect_timeout: 700,
    })
    const asked = get(pool)
    await until(() => (upstream.connections[0]?.bytesReceived ?? 0) > 0, "the hello")
    time.pass(700)
    expect(failure(await asked)).toMatchObject({ reason: "connect_timeout", sent: false })
    expect(pool.stats.open).toBe(0)
  })
})
