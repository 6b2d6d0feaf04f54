import { expect, test } from "bun:test"
import Value from "typebox/value"
import { newRequestId } from "../../src/lib/request_id.ts"
import { requestId } from "../../src/policies/request_id.ts"
import { type HeaderLines, makeAnswer, makeExchange } from "../support/exchange.ts"
import { makePolicyDeps } from "../support/policy_deps.ts"

const ROUTE = { path: "/", methods: [], label: "/", service: "", origins: [] }

/** Runs both steps and tells the id in the exchange, towards the service and towards the client. */
async function run(options: object, headers: HeaderLines, upstream: HeaderLines = []) {
  const schema = Value.Decode(requestId.schema, Value.Default(requestId.schema, options))
  const steps = requestId.compile(schema, makePolicyDeps(), ROUTE)
  const exchange = makeExchange({ headers })
  exchange.id = "made-here"
  expect(await steps.request!(exchange)).toBeUndefined()
  exchange.answer = makeAnswer(200, upstream)
  await steps.response!(exchange)
  const name = schema.header.toLowerCase()
  return {
    id: exchange.id,
    sent: exchange.requestEdits.get(name, exchange.arrival.fields),
    returned: exchange.responseHeader(name),
  }
}

const everywhere = (id: string) => ({ id, sent: id, returned: id })

test("[T-10.1 C-1.5 C-8.4] the client's id is kept, passed on and returned", async () => {
  expect(await run({}, [["X-Request-Id", "abc-123._~+/=:"]])).toEqual(everywhere("abc-123._~+/=:"))
})

test("[T-10.1 C-1.5 C-8.4] a request without an id goes on with the gateway's", async () => {
  expect(await run({}, [])).toEqual(everywhere("made-here"))
})

for (const [why, value] of [
  ["empty", ""],
  ["too long", "a".repeat(129)],
  ["with a space", "a b"],
  ["with a quote", 'a"b'],
  ["with a comma", "a,b"],
  ["with a control character", "a\u001b[31m"],
  ["beyond ASCII", "é"],
  ["with a line feed at its end", "abc\n"],
] as const)
  test(`[F-71] a client's id that is ${why} is replaced`, async () => {
    expect(await run({}, [["x-request-id", value]])).toEqual(everywhere("made-here"))
  })

test("an id of 128 characters is kept", async () => {
  expect((await run({}, [["x-request-id", "a".repeat(128)]])).id).toHaveLength(128)
})

test("an id sent twice is replaced, and the service sees one", async () => {
  const headers: HeaderLines = [
    ["x-request-id", "a"],
    ["x-request-id", "b"],
  ]
  expect(await run({}, headers)).toEqual(everywhere("made-here"))
})

test("the service's own id does not reach the client beside ours", async () => {
  expect((await run({}, [], [["x-request-id", "theirs"]])).returned).toBe("made-here")
})

test("without trust the client's id is replaced", async () => {
  expect(await run({ trust: false }, [["x-request-id", "abc"]])).toEqual(everywhere("made-here"))
})

test("another header can carry the id", async () => {
  expect(await run({ header: "X-Correlation-ID" }, [["x-correlation-id", "abc"]])).toEqual(everywhere("abc"))
})

test("an exchange that has no id yet gets one", async () => {
  const steps = requestId.compile({ header: "x-request-id", trust: true }, makePolicyDeps(), ROUTE)
  const exchange = makeExchange()
  await steps.request!(exchange)
  expect(exchange.id).toMatch(/^[0-9a-f-]{36}$/)
})

test("new ids are all different and fit what is accepted", () => {
  const ids = new Set(Array.from({ length: 10_000 }, newRequestId))
  expect(ids.size).toBe(10_000)
  for (const id of ids) expect(id).toMatch(/^[A-Za-z0-9._~+/=:-]{1,128}$/)
})
