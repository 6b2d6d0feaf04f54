import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { connectUpstream, type RelayTarget } from "../../src/realtime/connect.ts"
import { startWsService, type WsService } from "../support/ws_service.ts"

let service: WsService
beforeAll(() => {
  service = startWsService()
})
afterAll(() => {
  service.stop()
})

/** Connects and drops the connection at once: "open", or the refusal. */
function attempt(target: Partial<RelayTarget>) {
  const whole = { url: `${service.url}/echo`, headers: {}, protocols: [], tls: undefined, ...target }
  return connectUpstream(whole, 2000, (socket) => {
    socket.terminate()
    return { kind: "open" as const }
  })
}

describe("connect", () => {
  test("headers of the client's own connection and handshake are not passed on, the others are", async () => {
    const headers = {
      host: "chat.internal",
      "x-request-id": "r1",
      connection: "keep-alive, x-secret",
      "Keep-Alive": "5",
      upgrade: "h2c",
      te: "trailers",
      "content-length": "4",
      "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
      "sec-websocket-version": "8",
      "sec-websocket-extensions": "permessage-deflate",
    }
    expect(await attempt({ headers })).toEqual({ kind: "open" })
    const got = service.handshakes.at(-1)!
    expect(got).toMatchObject({
      host: "chat.internal",
      "x-request-id": "r1",
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
    })
    for (const name of ["keep-alive", "te", "content-length", "sec-websocket-extensions"])
      expect(got[name]).toBeUndefined()
    expect(got["sec-websocket-key"]).not.toBe(headers["sec-websocket-key"])
  })

  test.each([
    ["a header with a line break", { headers: { "x-bad": "a\r\nx-injected: 1" } }],
    ["a URL that is none", { url: "ws://:::" }],
    ["a subprotocol that is no token", { protocols: ["a b"] }],
  ])("%s is refused, not thrown", async (_, target) => {
    const asked = service.handshakes.length
    expect(await attempt(target)).toMatchObject({ kind: "refused", outcome: "unsendable", status: 502 })
    expect(service.handshakes.length).toBe(asked)
  })

  test("wss: a certificate is checked against the given authority, and without it refused", async () => {
    const folder = mkdtempSync(join(tmpdir(), "wss-"))
    const cert = join(folder, "cert.pem")
    const key = join(folder, "key.pem")
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    Bun.spawnSync(["openssl", "req", "-x509", ...curve, ...subject, "-keyout", key, "-out", cert])
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert: readFileSync(cert), key: readFileSync(key) },
      fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("", { status: 400 })),
      websocket: { message() {} },
    })
    const url = `wss://127.0.0.1:${server.port}/`
    expect(await attempt({ url })).toMatchObject({ kind: "refused", outcome: "unreachable", status: 502 })
    expect(await attempt({ url, tls: { ca: readFileSync(cert, "utf8") } })).toEqual({ kind: "open" })
    server.stop(true)
    rmSync(folder, { recursive: true })
  })
})
