import { describe, expect, test } from "bun:test"
import { FieldList } from "../../src/http1/field_list.ts"
import { checkHandshake } from "../../src/realtime/handshake.ts"

const GOOD = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}

function check(changes: Record<string, string | undefined>, method = "GET", protocol = "HTTP/1.1") {
  const fields: Record<string, string | undefined> = { ...GOOD, ...changes }
  const lines = Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [name, value]))
  return checkHandshake(new FieldList(lines), method, protocol)
}

/** Code of the failure, or the kind when it is none. */
function outcome(...args: Parameters<typeof check>) {
  const result = check(...args)
  return result.kind === "failure" ? result.code : result.kind
}

describe("handshake", () => {
  test("[S-FR4] a complete handshake is a WebSocket without subprotocols", () => {
    expect(check({})).toEqual({ kind: "websocket", protocols: [] })
  })

  test("a request without Upgrade, or with another one, is ordinary", () => {
    expect(outcome({ upgrade: undefined })).toBe("http")
    expect(outcome({ upgrade: "h2c" })).toBe("http")
    expect(outcome({ upgrade: "websockets" })).toBe("http")
  })

  test("[F-61] an upgrade without Connection: upgrade is refused", () => {
    expect(outcome({ connection: undefined })).toBe("INVALID_REQUEST")
    expect(outcome({ connection: "keep-alive" })).toBe("INVALID_REQUEST")
    expect(outcome({ connection: "not-upgrade, upgrades" })).toBe("INVALID_REQUEST")
  })

  test("tokens are found in lists, whatever their case", () => {
    expect(outcome({ connection: "keep-alive, UPGRADE", upgrade: "h2c , WebSocket" })).toBe("websocket")
  })

  test.each(["POST", "HEAD", "OPTIONS", "CONNECT"])("[F-61] method %s cannot open one", (method) => {
    expect(outcome({}, method)).toBe("INVALID_REQUEST")
  })

  test.each(["HTTP/1.0", "HTTP/2"])("[F-61] %s cannot open one", (protocol) => {
    expect(outcome({}, "GET", protocol)).toBe("INVALID_REQUEST")
  })

  test.each([undefined, "", "8", "13, 8", "013"])("version %p is answered 426 and told 13", (version) => {
    const result = check({ "sec-websocket-version": version })
    expect(result).toMatchObject({ code: "UPGRADE_REQUIRED", headers: { "sec-websocket-version": "13" } })
  })

  test.each([
    undefined,
    "",
    "dGhlIHNhbXBsZSBub25jZQ=",
    "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    "c2hvcnQ=",
    "dGhlIHNhbXBsZSBub25jZ!==",
    "dGhlIHNhbXBsZSBub25jZSB0b28gbG9uZw==",
  ])("key %p is refused", (key) => {
    expect(outcome({ "sec-websocket-key": key })).toBe("INVALID_REQUEST")
  })

  test("a handshake with a body is refused", () => {
    expect(outcome({ "content-length": "5" })).toBe("INVALID_REQUEST")
    expect(outcome({ "transfer-encoding": "chunked" })).toBe("INVALID_REQUEST")
    expect(outcome({ "content-length": "0" })).toBe("websocket")
  })

  test("[S-FR4.2] subprotocols come in the client's order", () => {
    expect(check({ "sec-websocket-protocol": "graphql-ws, chat.v2 ,chat" })).toEqual({
      kind: "websocket",
      protocols: ["graphql-ws", "chat.v2", "chat"],
    })
  })

  test.each(["", "a,,b", "a b", "a, a", "a;q=1", "é", '"a"'])("subprotocols %p are refused", (list) => {
    expect(outcome({ "sec-websocket-protocol": list })).toBe("INVALID_REQUEST")
  })

  test("an endless list of subprotocols is refused", () => {
    const list = Array.from({ length: 33 }, (_, i) => `p${i}`).join(",")
    expect(outcome({ "sec-websocket-protocol": list })).toBe("INVALID_REQUEST")
  })
})
