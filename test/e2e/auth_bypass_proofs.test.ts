import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { endGateways } from "../support/gateway_process.ts"
import { bearer, type Guarded, startGuarded } from "../support/guarded.ts"

let guarded: Guarded
let ANN = ""
let diary = ""

beforeAll(async () => {
  guarded = await startGuarded()
  ANN = bearer(guarded.ann.access)
  diary = `/users/${guarded.ann.id}/diary`
})
afterEach(async () => {
  expect((await guarded.ask(diary, ANN)).status).toBe(200)
})
afterAll(async () => {
  guarded?.close()
  await endGateways()
})

/** Sends it and expects a refusal, and that no service has seen anything of it. */
async function refused(statuses: readonly number[], ...request: Parameters<Guarded["ask"]>): Promise<void> {
  const before = guarded.received().length + guarded.handshakes()
  const response = await guarded.ask(...request)
  expect(statuses).toContain(response.status)
  expect(guarded.received().length + guarded.handshakes()).toBe(before)
}

/** The same of /admin/x with each of these header lines. */
async function refusedAll(statuses: readonly number[], all: readonly string[]): Promise<void> {
  for (const fields of all) await refused(statuses, "/admin/x", fields)
}

describe("[F-51] proofs in the wrong place or twice", () => {
  test("two Authorization fields, or two tokens in one", async () => {
    const [one, other] = [guarded.mint(), guarded.ann.access]
    await refusedAll(
      [400, 401],
      [
        bearer(one) + bearer(one),
        bearer(other) + bearer(one),
        bearer(one) + bearer(other),
        `Authorization: Basic YTpi\r\n${bearer(one)}`,
        `Authorization: \r\n${bearer(one)}`,
        `Authorization: Bearer ${one}, Bearer ${one}\r\n`,
        `Authorization: Bearer ${other},${one}\r\n`,
        `Authorization: Basic YTpi, Bearer ${one}\r\n`,
      ],
    )
  })

  test("a token and an API key", async () => {
    const token = bearer(guarded.mint())
    const keys = ["x", "gh_live_x", `gh_live_${"0".repeat(32)}_000000`, "", guarded.mint()]
    await refusedAll(
      [401],
      keys.map((key) => `${token}X-API-Key: ${key}\r\n`),
    )
    await refusedAll(
      [401],
      keys.filter((key) => key !== "").map((key) => `X-API-Key: ${key}\r\n`),
    )
  })

  test("another scheme, or Bearer misspelled", async () => {
    const token = guarded.mint()
    const basic = Buffer.from(`root:${token}`).toString("base64")
    await refusedAll(
      [400, 401],
      [
        `Basic ${basic}`,
        `Basic ${token}`,
        `Digest username="root", response="${token}"`,
        `Negotiate ${token}`,
        `DPoP ${token}`,
        `JWT ${token}`,
        `Token ${token}`,
        `Bearer`,
        `Bearer `,
        `Bearer${token}`,
        `Bearer  ${token}`,
        `Bearer\t${token}`,
        `Bearer=${token}`,
        `Bearer: ${token}`,
        `Bearer "${token}"`,
        `Bearer Bearer ${token}`,
        `Bearer ${token.replace(".", " .")}`,
        `Bearer%20${token}`,
        token,
      ].map((value) => `Authorization: ${value}\r\n`),
    )
  })

  test("the scheme's letters may be small (RFC 9110 section 11.1), which opens no more", async () => {
    expect((await guarded.ask("/admin/x", `authorization: bEARER ${guarded.mint()}\r\n`)).status).toBe(200)
    await refused([403], "/admin/x", `authorization: bearer ${guarded.ann.access}\r\n`)
  })

  test("a token in the query, the body, a cookie or another field counts for nothing", async () => {
    const token = guarded.mint()
    for (const name of ["access_token", "token", "jwt", "api_key", "authorization", "bearer_token"])
      await refused([401], `/admin/x?${name}=${token}`)
    await refusedAll(
      [400, 401],
      [
        `Cookie: Authorization=Bearer ${token}; access_token=${token}; __Host-gh_session=${token.slice(0, 400)}\r\n`,
        `X-Access-Token: ${token}\r\n`,
        `X-Authorization: Bearer ${token}\r\n`,
        `X-Forwarded-Authorization: Bearer ${token}\r\n`,
        `Proxy-Authorization: Bearer ${token}\r\n`,
        `X-Original-Authorization: Bearer ${token}\r\n`,
        `Authorization_: Bearer ${token}\r\n`,
      ],
    )
    const before = guarded.received().length
    const form = "Content-Type: application/x-www-form-urlencoded\r\n"
    expect((await guarded.ask("/admin/x", form, "POST", `access_token=${token}`)).status).toBe(401)
    expect(guarded.received()).toHaveLength(before)
  })
})

const HANDSHAKE =
  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

describe("[F-61] WebSockets and cookies", () => {
  test("a handshake of nobody, or with a wrong token, never reaches the service", async () => {
    await refused([401], "/ws/x", HANDSHAKE)
    await refused([401], "/ws/x", `${HANDSHAKE}${ANN.trimEnd()}x\r\n`)
    await refused([401], `/ws/x?access_token=${guarded.ann.access}`, HANDSHAKE)
    await refused([401], "/ws/x", `${HANDSHAKE}Sec-WebSocket-Protocol: bearer, ${guarded.ann.access}\r\n`)
  })

  test("an upgrade without Connection, or the other way round, is none", async () => {
    const { cookie } = await guarded.cookieOfAnn()
    const lame = HANDSHAKE.replace("Connection: Upgrade\r\n", "")
    await refused([400, 401], "/ws/x", lame)
    await refused([400, 403], "/ws/x", `${lame}Cookie: ${cookie}\r\nOrigin: https://evil.example\r\n`)
  })

  test("a cookie opens one for the gateway's own origin only", async () => {
    const { cookie } = await guarded.cookieOfAnn()
    const field = `Cookie: ${cookie}\r\n`
    for (const origin of [
      "Origin: https://evil.example\r\n",
      "Origin: https://a.example.evil.example\r\n",
      "Origin: http://a.example\r\n",
      "Origin: https://a.example:444\r\n",
      "Origin: null\r\n",
      "Origin: \r\n",
      "",
    ])
      await refused([400, 403], "/ws/x", HANDSHAKE + field + origin)
    const { status } = await guarded.ask("/ws/x", `${HANDSHAKE}${field}Origin: https://a.example\r\n`)
    expect(status).toBe(101)
    expect((await guarded.ask("/ws/x", HANDSHAKE + ANN)).status).toBe(101)
  })

  test("a cookie changes nothing without the token of its session", async () => {
    const [first, second] = [await guarded.cookieOfAnn(), await guarded.cookieOfAnn()]
    const cookie = `Cookie: ${first.cookie}\r\n`
    for (const fields of [
      "",
      "X-CSRF-Token: \r\n",
      "X-CSRF-Token: x\r\n",
      `X-CSRF-Token: ${second.csrf}\r\n`,
      `Cookie: gh_csrf=${first.csrf}\r\n`,
      `X-CSRF-Token: ${first.csrf}\r\nX-CSRF-Token: ${first.csrf}\r\n`,
      `X-CSRF-Token: ${first.csrf}\r\nSec-Fetch-Site: cross-site\r\n`,
      "X-HTTP-Method-Override: GET\r\n",
    ])
      await refused([400, 401, 403], diary, cookie + fields, "POST")
    expect((await guarded.ask(diary, `${cookie}X-CSRF-Token: ${first.csrf}\r\n`, "POST")).status).toBe(200)
  })

  test("two session cookies, or one of another name, prove nobody", async () => {
    const { cookie } = await guarded.cookieOfAnn()
    const value = cookie.slice(cookie.indexOf("=") + 1)
    const other = (await guarded.cookieOfAnn()).cookie
    for (const cookies of [
      `${cookie}; ${other}`,
      `${cookie}; ${cookie}`,
      `${cookie}\r\nCookie: ${other}`,
      `${cookie}; __Host-gh_session=`,
      `gh_session=${value}`,
      `__host-gh_session=${value}`,
      `__Secure-gh_session=${value}`,
      `x__Host-gh_session=${value}`,
      `__Host-gh_session=x; gh_session=${value}`,
      `__Host-gh_session="${value}"`,
      `__Host-gh_session=${value}x`,
      `__Host-gh_session=${value.slice(0, -1)}`,
      `__Host-gh_session=${guarded.ann.access.slice(0, 500)}`,
      `a="; __Host-gh_session=x"; Authorization=Bearer ${value}`,
      `__Host-gh_session=${guarded.ann.refresh}`,
    ])
      await refused([401], diary, `Cookie: ${cookies}\r\n`)
    expect((await guarded.ask(diary, `Cookie: gh_session=x; ${cookie}\r\n`)).status).toBe(200)
    expect(guarded.received().at(-1)!.header("cookie")).toBeUndefined()
  })
})
