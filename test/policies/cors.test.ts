import { expect, test } from "bun:test"
import fc from "fast-check"
import { cors } from "../../src/policies/cors.ts"
import { makeAnswer, makeExchange } from "../support/exchange.ts"
import { checkPolicy, compilePolicy } from "../support/policy.ts"

const APP = "https://app.example.com"

interface Case {
  options?: object
  origin?: string
  method?: string
  headers?: Record<string, string>
  /** What the service answers. */
  service?: Record<string, string>
}

async function send({ options, origin, method = "GET", headers = {}, service = {} }: Case) {
  const steps = compilePolicy(cors, { origins: [APP], ...options }, {}, { methods: ["GET", "POST"] })
  const exchange = makeExchange({ method, headers: origin === undefined ? headers : { ...headers, origin } })
  const verdict = await steps.request!(exchange)
  exchange.answer = verdict?.kind === "answer" ? verdict.answer : makeAnswer(200, service)
  await steps.response!(exchange)
  return { verdict, status: exchange.answer.status, header: (name: string) => exchange.responseHeader(name) }
}

const preflight = (origin: string, options: object = {}) =>
  send({ origin, options, method: "OPTIONS", headers: { "access-control-request-method": "POST" } })

test("[C-1.6] a preflight of an allowed origin is answered by the gateway with 204", async () => {
  const { status, header } = await preflight(APP, { max_age: "1h" })
  expect(status).toBe(204)
  expect(header("access-control-allow-origin")).toBe(APP)
  expect(header("access-control-allow-methods")).toBe("GET, POST")
  expect(header("access-control-allow-headers")).toBe("authorization, content-type, x-request-id")
  expect(header("access-control-max-age")).toBe("3600")
  expect(header("access-control-expose-headers")).toBeUndefined()
  expect(header("vary")).toBe("Origin")
})

test("[C-1.6] a preflight of a foreign origin is refused with 403", async () => {
  const { verdict, header } = await preflight("https://evil.example")
  expect(verdict).toMatchObject({ kind: "failure", code: "ORIGIN_NOT_ALLOWED" })
  expect(header("access-control-allow-origin")).toBeUndefined()
})

test("[C-1.6] OPTIONS that is no preflight goes to the service", async () => {
  expect((await send({ origin: APP, method: "OPTIONS" })).verdict).toBeUndefined()
  const headers = { "access-control-request-method": "POST" }
  expect((await send({ method: "OPTIONS", headers })).verdict).toBeUndefined()
})

test("[C-1.6] an allowed origin may read the answer", async () => {
  const { header } = await send({ origin: APP, options: { credentials: true } })
  expect(header("access-control-allow-origin")).toBe(APP)
  expect(header("access-control-allow-credentials")).toBe("true")
  expect(header("access-control-expose-headers")).toBe("x-request-id, retry-after")
})

test("[C-1.6] a foreign origin gets its answer without CORS headers", async () => {
  const { verdict, header } = await send({ origin: "https://evil.example" })
  expect(verdict).toBeUndefined()
  expect(header("access-control-allow-origin")).toBeUndefined()
  expect(header("vary")).toBe("Origin")
})

test("[C-1.6] Vary names Origin also without one, and keeps what the service put there", async () => {
  expect((await send({ service: { vary: "Accept" } })).header("vary")).toBe("Accept, Origin")
  expect((await send({ service: { vary: "origin" } })).header("vary")).toBe("origin")
})

test("[C-1.6] what the service says of CORS is not passed on", async () => {
  const service = {
    "access-control-allow-origin": "*",
    "access-control-allow-credentials": "true",
    "access-control-allow-methods": "DELETE",
    "access-control-allow-headers": "*",
    "access-control-expose-headers": "x-secret",
    "access-control-max-age": "86400",
  }
  const foreign = await send({ origin: "https://evil.example", service })
  for (const name of Object.keys(service)) expect(foreign.header(name)).toBeUndefined()
  const allowed = await send({ origin: APP, service })
  expect(allowed.header("access-control-allow-origin")).toBe(APP)
  expect(allowed.header("access-control-allow-credentials")).toBeUndefined()
})

test("[C-1.6] `*` allows every origin without reflecting it, and the answer does not vary", async () => {
  const { header } = await send({ origin: "https://any.example", options: { origins: ["*"] } })
  expect(header("access-control-allow-origin")).toBe("*")
  expect(header("vary")).toBeUndefined()
})

test("[F-62] `null` is allowed only if it is listed", async () => {
  expect((await send({ origin: "null" })).header("access-control-allow-origin")).toBeUndefined()
  const listed = await send({ origin: "null", options: { origins: ["null"] } })
  expect(listed.header("access-control-allow-origin")).toBe("null")
})

test("[F-62] tricks with prefixes, suffixes, ports, schemes and case do not match an origin", async () => {
  const options = { origins: [APP, "https://*.trusted.example"] }
  const tricks = [
    "https://app.example.com.evil.example",
    "https://evil-app.example.com",
    "https://appXexample.com",
    "https://app.example.com:8443",
    "http://app.example.com",
    "https://APP.example.com",
    "https://app.example.com, https://evil.example",
    "https://app.example.com/",
    "https://trusted.example",
    "https://eviltrusted.example",
    "https://a.b.trusted.example",
    "https://.trusted.example",
    "https://evil.example/.trusted.example",
    "https://evil.example#.trusted.example",
    "https://user@x.trusted.example",
    "https://x.trusted.example.evil.example",
    "http://x.trusted.example",
    "",
  ]
  for (const origin of tricks) {
    expect((await send({ origin, options })).header("access-control-allow-origin")).toBeUndefined()
    expect((await preflight(origin, options)).verdict).toMatchObject({ code: "ORIGIN_NOT_ALLOWED" })
  }
  const one = await send({ origin: "https://shop-1.trusted.example", options })
  expect(one.header("access-control-allow-origin")).toBe("https://shop-1.trusted.example")
})

test("[F-62] whatever the origin, a wildcard lets through one label and nothing else", () => {
  const steps = compilePolicy(cors, { origins: ["https://*.example.com"] })
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."ab.-/:@#?%") }), (middle) => {
      const exchange = makeExchange({ headers: { origin: `https://${middle}.example.com` } })
      exchange.answer = makeAnswer()
      steps.response!(exchange)
      const allowed = exchange.responseHeader("access-control-allow-origin") !== undefined
      expect(allowed).toBe(/^[ab]([ab-]*[ab])?$/.test(middle))
    }),
  )
})

test("[F-62] `*` with credentials is a config problem", () => {
  expect(checkPolicy(cors, { origins: ["*"], credentials: true })[0]).toContain("`*` cannot go with")
  expect(checkPolicy(cors, { origins: ["null"], credentials: true })[0]).toContain("`null` cannot go with")
  expect(checkPolicy(cors, { origins: [APP], credentials: true, allow_headers: ["*"] })).toHaveLength(1)
  expect(checkPolicy(cors, { origins: ["*"] })).toEqual([])
})

test("[C-1.6] what no browser sends as an origin is a config problem", () => {
  const bad = [
    "app.example.com",
    "https://app.example.com/",
    "https://App.example.com",
    "https://app.example.com:443",
    "https://*.com",
    "https://a.*.example.com",
    "https://*example.com",
    "https://",
    "https://a b",
  ]
  for (const origin of bad)
    expect([origin, checkPolicy(cors, { origins: [origin] }).length]).toEqual([origin, 1])
  const good = [
    APP,
    "http://localhost:3000",
    "https://*.example.com:8443",
    "capacitor://localhost",
    "http://[::1]:80801".slice(0, -1),
  ]
  for (const origin of good) expect(checkPolicy(cors, { origins: [origin] })).toEqual([])
})
