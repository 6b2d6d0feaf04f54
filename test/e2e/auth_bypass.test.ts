import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { endGateways } from "../support/gateway_process.ts"
import { bearer, type Guarded, startGuarded } from "../support/guarded.ts"
import { askH2, type HeaderPairs } from "../support/h2_raw.ts"

let guarded: Guarded
let ANN = ""

beforeAll(async () => {
  guarded = await startGuarded()
  ANN = bearer(guarded.ann.access)
})
// Whatever was tried before: the door is where it was for those who may pass.
afterEach(async () => {
  const { status } = await guarded.ask(`/users/${guarded.ann.id}/diary`, ANN)
  expect(status).toBe(200)
})
afterAll(async () => {
  guarded?.close()
  await endGateways()
})

const REFUSED = [400, 401, 403, 404]

/** Sends it and expects a refusal, and that no service has seen anything of it. */
async function refused(statuses: readonly number[], ...request: Parameters<Guarded["ask"]>): Promise<void> {
  const before = guarded.received().length + guarded.handshakes()
  const response = await guarded.ask(...request)
  expect(statuses).toContain(response.status)
  expect(guarded.received().length + guarded.handshakes()).toBe(before)
}

/** Spellings of /admin/x, and what is to come of them for somebody who is no administrator. */
const SPELLINGS: readonly (readonly [target: string, status: number])[] = [
  ["/admin/x", 403],
  ["//admin/x", 403],
  ["///admin///x", 403],
  ["/admin//x", 403],
  ["/./admin/x", 403],
  ["/admin/./x", 403],
  ["/%2e/admin/x", 403],
  ["/public/../admin/x", 403],
  ["/public/x/../../admin/x", 403],
  ["/public/%2e%2e/admin/x", 403],
  ["/public/%2E./admin/x", 403],
  ["/public/.%2e/admin/x", 403],
  ["/../admin/x", 403],
  ["/../../../admin/x", 403],
  ["/%61dmin/x", 403],
  ["/%61%64%6D%69%6e/x", 403],
  ["/admin/x?a=/public/x", 403],
  ["/admin?/../public/x", 403],
  ["/public/..%2fadmin/x", 400],
  ["/public/..%2Fadmin/x", 400],
  ["/public%2f..%2fadmin/x", 404],
  ["/public/..%5cadmin/x", 400],
  ["/public/..\\admin/x", 403],
  ["/admin\\x", 403],
  ["/public/%252e%252e/admin/x", 400],
  ["/%2561dmin/x", 404],
  ["/public/..;/admin/x", 400],
  ["/public/..;a=b/admin/x", 400],
  ["/public;/../admin/x", 403],
  ["/admin;x=1/y", 404],
  ["/admin%2fx", 404],
  ["/admin%3bx/y", 404],
  ["/admin%00/x", 400],
  ["/admin/x%00.png", 400],
  ["/admin%0a/x", 400],
  ["/admin%/x", 400],
  ["/admin%u002fx", 400],
  ["/public/..%c0%afadmin/x", 400],
  ["/admin#/public/x", 400],
  ["admin/x", 400],
  ["/ADMIN/x", 404],
  ["/Admin/x", 404],
  ["/admin./x", 404],
  ["/admin%20/x", 404],
  ["/%EF%BC%8Fadmin/x", 404],
  ["/%EF%BC%A1dmin/x", 404],
  ["/admin.json", 404],
]

describe("[F-55] no spelling of a path leads past its route", () => {
  for (const [target, status] of SPELLINGS) {
    test(`HTTP/1.1 ${target}: ${status} for a user, nothing for nobody`, async () => {
      await refused([status], target, ANN)
      await refused(REFUSED, target)
    })
  }

  for (const [target] of SPELLINGS) {
    test(`HTTP/2 ${target}`, async () => {
      const before = guarded.received().length
      const outcome = await askH2(guarded.gateway.port, h2("GET", target))
      expect(outcome.kind === "stream error" || REFUSED.includes(outcome.status!)).toBe(true)
      expect(guarded.received()).toHaveLength(before)
    })
  }

  test("nor does one lead to what is another's", async () => {
    const { ann, bob } = guarded
    for (const target of [
      `/users/${bob.id}/diary`,
      `/users/${ann.id}/../${bob.id}/diary`,
      `/users/${ann.id}/%2e%2e/${bob.id}/diary`,
      `/users//${bob.id}/diary`,
      `/users/${ann.id}%2f..%2f${bob.id}/diary`,
      `/users/${ann.id};/../${bob.id}/diary`,
      `/users/${ann.id.toUpperCase()}/diary`,
      `/users/${bob.id}/diary?id=${ann.id}`,
      `/users/${ann.id}%00/diary`,
      `/users/${ann.id}%20/diary`,
    ])
      await refused(REFUSED, target, ANN)
  })
})

const h2 = (method: string, path: string, ...fields: [string, string][]): HeaderPairs => [
  [":method", method],
  [":scheme", "https"],
  [":path", path],
  [":authority", "a.example"],
  ["authorization", `Bearer ${guarded.ann.access}`],
  ...fields,
]

describe("[F-56] what overrides method, path or host has no effect", () => {
  for (const field of [
    "X-Original-URL: /public/x",
    "X-Rewrite-URL: /public/x",
    "X-Original-URI: /public/x",
    "X-HTTP-Method-Override: OPTIONS",
    "X-HTTP-Method: OPTIONS",
    "X-Method-Override: OPTIONS",
    "X-Forwarded-Prefix: /public",
    "X-Forwarded-Path: /public/x",
    "X-Forwarded-Host: public.example",
    "X-Forwarded-For: 127.0.0.1",
    "Origin: https://a.example\r\nAccess-Control-Request-Method: GET",
    "Upgrade: websocket\r\nConnection: Upgrade",
  ]) {
    test(field.replace("\r\n", ", "), () => refused(REFUSED, "/admin/x", `${ANN}${field}\r\n`))
  }

  test("a target in absolute form is decided by its own path", async () => {
    await refused(REFUSED, "https://a.example/admin/x", ANN)
    await refused(REFUSED, "https://a.example/public/../admin/x", ANN)
    await refused(REFUSED, "https://a.example/public/..%2fadmin/x", ANN)
    await refused(REFUSED, "https://b.example/admin/x", ANN)
    await refused(REFUSED, "http://user:word@a.example/admin/x", ANN)
    await refused(REFUSED, "ftp://a.example/admin/x", ANN)
  })

  test("a second, empty or strange Host is refused", async () => {
    for (const line of ["Host: localhost", "Host: a.example", "Host: ", "hOsT: a.example/public"])
      await refused([400], "/admin/x", `${ANN}${line}\r\n`)
  })

  test("no method is free", async () => {
    for (const method of ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
      await refused([403], "/admin/x", ANN, method)
    for (const method of ["HEAD", "POST", "OPTIONS"]) await refused([401], "/admin/x", "", method)
    for (const method of ["TRACE", "CONNECT", "PROPFIND"]) await refused([405], "/admin/x", ANN, method)
    const before = guarded.received().length
    for (const method of ["get", "GETX"])
      expect(guarded.ask("/admin/x", ANN, method)).rejects.toThrow("closed without an answer")
    expect(guarded.received()).toHaveLength(before)
  })

  test("nor is one over HTTP/2", async () => {
    const before = guarded.received().length
    for (const method of ["HEAD", "POST", "OPTIONS", "TRACE", "get"]) {
      const outcome = await askH2(guarded.gateway.port, h2(method, "/admin/x"))
      expect([400, 403, 404, 405, 501]).toContain(outcome.status!)
    }
    expect(guarded.received()).toHaveLength(before)
  })

  for (const [what, fields] of [
    ["a second path", [[":path", "/public/x"]]],
    ["a second authority", [[":authority", "b.example"]]],
    ["another host", [["host", "b.example"]]],
    ["a second method", [[":method", "OPTIONS"]]],
    ["two Authorization fields", [["authorization", "Bearer x"]]],
    ["a name in capitals", [["Authorization", "Bearer x"]]],
    ["a line within a value", [["x-a", "b\r\nauthorization: Bearer x"]]],
    ["a protocol to connect to", [[":protocol", "websocket"]]],
  ] as const) {
    test(`HTTP/2: ${what} opens nothing`, async () => {
      const before = guarded.received().length
      const outcome = await askH2(
        guarded.gateway.port,
        h2("GET", "/admin/x", ...(fields as unknown as [string, string][])),
      )
      const shut = ["stream error", "connection error", "closed"].includes(outcome.kind)
      expect(shut || REFUSED.includes(outcome.status!)).toBe(true)
      expect(guarded.received()).toHaveLength(before)
    })
  }
})

const FORGED = [
  ...["X-User-Id: root", "X-User-Roles: admin", "X-User-Scopes: admin", "X-User-Kind: service"],
  ...["X-User-Tier: enterprise", "X-User-Anything: root", "X-Auth-Method: session", "X-Auth-User: root"],
  ...["X-Client-Id: root", "X-API-Key-Id: root", "X_User_Id: root", "X-User_Roles: admin", "x-uSER-iD: root"],
  ...["X-Client-Cert: root", "X-Forwarded-User: root", "Remote-User: root"],
  ...["X-Real-IP: 10.0.0.1", "X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1;proto=http"],
  ...["X-Forwarded-Proto: http", "X-Forwarded-Host: root.example"],
].map((field) => `${field}\r\n`)
const forged = FORGED.join("")
const CLAIMED = /root|\badmin\b|enterprise|session|10\.0\.0\.1|proto: ?http$/i
/** Not the gateway's to speak of: they say what the service makes of them. */
const OTHERS = /^(?:x-forwarded-user|remote-user|x-client-cert):/i

describe("[F-57] who calls, and from where, is what was proved", () => {
  test("what a client claims opens nothing", async () => {
    await refused([403], "/admin/x", ANN + forged)
    await refused([401], "/admin/x", forged)
    for (const field of FORGED) await refused([403], "/admin/x", ANN + field)
    await refused([403], `/users/${guarded.bob.id}/diary`, `${ANN}X-User-Id: ${guarded.bob.id}\r\n`)
  })

  test("and does not reach the service, on whatever route", async () => {
    for (const [target, fields] of [
      [`/users/${guarded.ann.id}/diary`, ANN],
      ["/public/x", ANN],
      ["/public/x", ""],
      ["/told/x", ANN],
    ] as const) {
      expect((await guarded.ask(target, fields + forged)).status).toBe(200)
      const { lines, header } = guarded.received().at(-1)!
      const told = lines.filter((line) => !OTHERS.test(line))
      expect(told.filter((line) => CLAIMED.test(line))).toEqual([])
      expect(header("x-forwarded-for")).toBe("127.0.0.1")
      expect(header("x-user-id")).toBe(fields === "" || target === "/told/x" ? undefined : guarded.ann.id)
    }
  })

  test("nor does it over HTTP/2", async () => {
    const fields = [
      ["x-user-id", "root"],
      ["x_user_id", "root"],
      ["x-user-roles", "admin"],
    ] as [string, string][]
    const outcome = await askH2(guarded.gateway.port, h2("GET", "/public/x", ...fields))
    expect(outcome.status).toBe(200)
    const { lines, header } = guarded.received().at(-1)!
    expect(lines.filter((line) => CLAIMED.test(line))).toEqual([])
    expect(header("x-user-id")).toBe(guarded.ann.id)
  })
})

describe("[F-58] Connection takes away nothing that counts", () => {
  for (const names of [
    "X-User-Id",
    "X-User-Id, X-User-Roles, X-Auth-Method",
    "Authorization",
    "close, Authorization, Host, Cookie",
    "X-Forwarded-For, X-Forwarded-Proto, Host",
  ]) {
    test(`Connection: ${names}`, async () => {
      const connection = `Connection: ${names}\r\n`
      await refused([403], "/admin/x", ANN + connection)
      await refused([401], "/admin/x", connection)
      expect((await guarded.ask(`/users/${guarded.ann.id}/x`, ANN + connection + forged)).status).toBe(200)
      const { header, lines } = guarded.received().at(-1)!
      expect([header("x-user-id"), header("x-user-roles"), header("x-auth-method")]).toEqual([
        guarded.ann.id,
        "user",
        "jwt",
      ])
      expect(header("x-forwarded-for")).toBe("127.0.0.1")
      expect(lines.filter((line) => !OTHERS.test(line) && CLAIMED.test(line))).toEqual([])
    })
  }
})
