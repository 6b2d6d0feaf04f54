import { expect, test } from "bun:test"
import zlib from "node:zlib"
import type { Body } from "../../src/http1/body.ts"
import { limitBody } from "../../src/policies/body_limit.ts"
import { validate } from "../../src/policies/validate.ts"
import type { Exchange } from "../../src/upstream/exchange.ts"
import { ChunkSource } from "../support/body.ts"
import { makeExchange } from "../support/exchange.ts"
import { checkPolicy, compilePolicy } from "../support/policy.ts"

const USER = {
  type: "object",
  required: ["name", "age"],
  additionalProperties: false,
  properties: {
    name: { type: "string", minLength: 1, maxLength: 20 },
    age: { type: "integer", minimum: 0 },
    tags: { type: "array", items: { $ref: "#/$defs/tag" }, uniqueItems: true },
    mail: { type: "string", format: "email" },
  },
  $defs: { tag: { type: "string", pattern: "^[a-z]+$" } },
}
const bytes = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value))

interface Errors {
  code: string
  details: {
    errors: { in: string; pointer: string; message: string }[]
    limit?: number
    supported?: string[]
  }
}

async function run(options: object, exchange: Exchange): Promise<Errors | undefined> {
  return (await compilePolicy(validate, options).request!(exchange)) as Errors | undefined
}

const post = (body: Body, headers: Record<string, string> = {}) =>
  makeExchange({ method: "POST", headers: { "content-type": "application/json", ...headers }, body })

const postUser = (body: Body, headers?: Record<string, string>, options: object = {}) =>
  run({ body: USER, ...options }, post(body, headers))

test("[C-1.3 I-err.req] a body that fits goes on, byte for byte as it came", async () => {
  const body = Buffer.from('{ "age": 7,\n "name":"Ann" }')
  const exchange = post(new ChunkSource([body.subarray(0, 9), body.subarray(9)]))
  expect(await run({ body: USER }, exchange)).toBeUndefined()
  expect(Buffer.from(exchange.body as Uint8Array).equals(body)).toBe(true)
})

test("[C-1.3 I-err.req] every error is told at once, with a pointer and without the value", async () => {
  const sent = { age: -1, tags: ["ok", "SECRET1"], mail: "SECRET2", SECRET_KEY: "SECRET3" }
  const verdict = await postUser(bytes(sent))
  expect(verdict?.code).toBe("VALIDATION_FAILED")
  const found = verdict!.details.errors.map(({ pointer, message }) => `${pointer} ${message}`).sort()
  expect(found).toEqual([
    "/SECRET_KEY is not allowed here",
    "/age must be >= 0",
    '/mail must match format "email"',
    "/name is required",
    '/tags/1 must match pattern "^[a-z]+$"',
  ])
  expect(verdict!.details.errors.every((error) => error.in === "body")).toBe(true)
  for (const value of ["SECRET1", "SECRET2", "SECRET3"]) expect(JSON.stringify(verdict)).not.toContain(value)
})

test("[C-1.3] params, query, headers and body are checked together", async () => {
  const options = {
    params: { properties: { id: { type: "integer" } } },
    query: { required: ["page"] },
    headers: { required: ["X-Tenant"] },
    body: USER,
  }
  const exchange = post(bytes({ name: "", age: 1 }))
  exchange.captures = ["seven"]
  exchange.captureNames = ["id"]
  const verdict = await run(options, exchange)
  expect(verdict!.details.errors.map((error) => `${error.in} ${error.pointer}`)).toEqual([
    "params /id",
    "query /page",
    "headers /x-tenant",
    "body /name",
  ])
})

test("[C-1.3] texts become the numbers, booleans and lists the schema asks for", async () => {
  const query = {
    type: "object",
    additionalProperties: false,
    properties: {
      page: { type: "integer", minimum: 1 },
      ratio: { $ref: "#/$defs/ratio" },
      all: { type: "boolean" },
      id: { type: "array", items: { type: "integer" }, maxItems: 3 },
      name: { type: "string" },
      code: { type: ["string", "null"] },
    },
    $defs: { ratio: { type: "number", exclusiveMaximum: 1 } },
  }
  const ask = async (text: string) => {
    const verdict = await run({ query }, makeExchange({ query: text }))
    return verdict === undefined ? "" : verdict.details.errors.map((error) => error.pointer).join(" ")
  }
  expect(await ask("page=2&ratio=0.5&all=true&id=1&id=2&name=5&code=7")).toBe("")
  expect(await ask("id=1")).toBe("")
  expect(await ask("name=a+b%20c&&")).toBe("")
  expect(await ask("page=0")).toBe("/page")
  for (const bad of [
    "page=1.5",
    "page=0x10",
    "page=",
    "page=1e999",
    "page=+1",
    "page=%201",
    "page=01",
    "page=NaN",
  ])
    expect([bad, await ask(bad)]).toEqual([bad, "/page"])
  expect(await ask("ratio=2")).toBe("/ratio")
  expect(await ask("all=yes")).toBe("/all")
  expect(await ask("id=1&id=x")).toBe("/id/1")
  expect(await ask("page=1&page=2")).toBe("/page")
  expect(await ask("other=1")).toBe("/other")
})

test("[F-26] a query cannot reach a prototype, and bad escapes are refused", async () => {
  const query = { type: "object", additionalProperties: { type: "string" } }
  expect(await run({ query }, makeExchange({ query: "__proto__=x&constructor=y" }))).toBeUndefined()
  expect(({} as Record<string, unknown>).x).toBeUndefined()
  for (const bad of ["a=%zz", "a=%ff", "%=1"]) {
    const verdict = await run({ query }, makeExchange({ query: bad }))
    expect(verdict!.details.errors).toEqual([
      { in: "query", pointer: "", message: "has a malformed percent escape" },
    ])
  }
})

test("[C-1.3] headers are checked by name in any case, and others are left alone", async () => {
  const headers = {
    additionalProperties: false,
    properties: { "X-Depth": { type: "integer" }, "X-Tags": { type: "array", items: { enum: ["a", "b"] } } },
  }
  const ask = (sent: Record<string, string>) => run({ headers }, makeExchange({ headers: sent }))
  expect(await ask({ "x-depth": "3", "x-tags": "a, b", accept: "*/*" })).toBeUndefined()
  expect((await ask({ "x-depth": "deep" }))!.details.errors[0]!.pointer).toBe("/x-depth")
  expect((await ask({ "x-tags": "a,c" }))!.details.errors[0]).toEqual({
    in: "headers",
    pointer: "/x-tags/1",
    message: 'must be one of: "a", "b"',
  })
})

test("[C-1.3] a missing body is an error where the method has one", async () => {
  for (const body of [undefined, new Uint8Array(0), new ChunkSource([])]) {
    const verdict = await postUser(body)
    expect(verdict!.details.errors).toEqual([{ in: "body", pointer: "", message: "is required" }])
  }
  expect(await run({ body: USER }, makeExchange({ method: "GET" }))).toBeUndefined()
})

test("[C-1.3] another content type is refused with 415 before the body is read", async () => {
  for (const type of ["text/plain", "application/json5", ""]) {
    const source = new ChunkSource([bytes("{}")])
    const verdict = await postUser(source, { "content-type": type })
    expect(verdict).toMatchObject({
      code: "UNSUPPORTED_MEDIA_TYPE",
      details: { supported: ["application/json"] },
    })
    expect(source.given).toBe(0)
  }
  const good = bytes({ name: "A", age: 1 })
  expect(await postUser(good, { "content-type": "Application/JSON; charset=utf-8" })).toBeUndefined()
})

test("[F-16] a body over the limit is refused with 413, declared or streamed", async () => {
  const options = { max_body: 100 }
  const big = bytes({ name: "A", age: 1, pad: "x".repeat(200) })
  for (const body of [
    big,
    new ChunkSource([big], { length: big.length }),
    new ChunkSource([big.subarray(0, 90), big]),
  ])
    expect(await postUser(body, {}, options)).toMatchObject({
      code: "PAYLOAD_TOO_LARGE",
      details: { limit: 100 },
    })
})

test("[F-16] a limit above that breaks the body off is what the client hears of", async () => {
  const exchange = post(undefined)
  exchange.body = limitBody(new ChunkSource([bytes("x".repeat(50))]), 10, () => {
    exchange.uploadFault = "PAYLOAD_TOO_LARGE"
  })
  expect(await run({ body: USER }, exchange)).toMatchObject({
    code: "PAYLOAD_TOO_LARGE",
    details: { limit: 10 },
  })
})

test("[F-31] a body the client cut short is refused, even if what came is valid", async () => {
  const source = new ChunkSource([bytes({ name: "A", age: 1 })], { abort: "reset" })
  expect(await postUser(source)).toMatchObject({ code: "INVALID_REQUEST" })
})

const CODERS = {
  gzip: zlib.gzipSync,
  deflate: zlib.deflateSync,
  br: (plain: Buffer) =>
    zlib.brotliCompressSync(plain, { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 1 } }),
}
for (const [coding, code] of Object.entries(CODERS)) {
  test(`[C-1.3] a ${coding} body is looked into and passed on as it came`, async () => {
    const sent = code(bytes({ name: "A", age: 1 }))
    const exchange = post(sent, { "content-encoding": coding })
    expect(await run({ body: USER }, exchange)).toBeUndefined()
    expect(exchange.body).toBe(sent)
    expect((await postUser(code(bytes({ age: 1 })), { "content-encoding": coding }))!.code).toBe(
      "VALIDATION_FAILED",
    )
  })

  test(`[F-24] a ${coding} bomb ends at the decoded limit with 413`, async () => {
    const bomb = code(Buffer.alloc(64 * 1024 ** 2, " "))
    expect(bomb.length).toBeLessThan(1024 ** 2)
    const before = process.memoryUsage.rss()
    expect(await postUser(bomb, { "content-encoding": coding })).toMatchObject({ code: "PAYLOAD_TOO_LARGE" })
    expect(process.memoryUsage.rss() - before).toBeLessThan(40 * 1024 ** 2)
  })
}

test("[F-24] codings that cannot be undone, or are not what they say, are refused", async () => {
  const good = bytes({ name: "A", age: 1 })
  for (const coding of ["gzip, gzip", "zstd", "compress"])
    expect((await postUser(good, { "content-encoding": coding }))!.code).toBe("UNSUPPORTED_MEDIA_TYPE")
  for (const body of [good, zlib.gzipSync(good).subarray(0, -9)])
    expect((await postUser(body, { "content-encoding": "gzip" }))!.code).toBe("VALIDATION_FAILED")
  expect(await postUser(good, { "content-encoding": "identity" })).toBeUndefined()
})

test("[F-26] hostile JSON is refused", async () => {
  for (const text of ['{"__proto__":{}}', "[".repeat(10_000), '{"name":"A","age":1e999}', "{", "\ufeff{}"])
    expect((await postUser(bytes(text)))!.code).toBe("VALIDATION_FAILED")
})

test("[F-25] bodies made to be slow are checked in little time", async () => {
  const body = {
    type: "array",
    uniqueItems: true,
    items: { type: "string", pattern: "[a-z]+$", format: "email" },
  }
  const slow = [
    Array.from({ length: 150_000 }, () => 1),
    [`${"a".repeat(900_000)}!`],
    Array.from({ length: 200 }, (_, i) => `${"a".repeat(4090)}!${i}`),
  ]
  for (const value of slow) {
    const started = performance.now()
    expect((await run({ body }, post(bytes(value))))!.code).toBe("VALIDATION_FAILED")
    expect(performance.now() - started).toBeLessThan(3000)
  }
})

test("[I-err.req] errors are bounded in number and length", async () => {
  const options = { body: { additionalProperties: false } }
  const keys = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`${i}${"k".repeat(400)}`, 1]))
  const { errors } = (await run(options, post(bytes(keys))))!.details
  expect(errors.length).toBeLessThanOrEqual(64)
  expect(errors.every((error) => error.pointer.length <= 256)).toBe(true)
})

test('equal objects are duplicates whatever the order of their keys, and 1 is not true or "1"', async () => {
  const body = { uniqueItems: true }
  expect(
    await run({ body }, post(bytes([1, "1", true, "true", null, "null", [1], ["1"], { a: 1 }, '{"a":1}']))),
  ).toBeUndefined()
  expect(await run({ body }, post(bytes('[{"a":1,"b":2},{"b":2,"a":1}]')))).toBeDefined()
})

test("what a schema of config gets wrong is told with its place", () => {
  const bad: [object, string][] = [
    [{ requierd: ["a"] }, "body.requierd: not a keyword"],
    [{ type: "strng" }, "body.type: must be one of"],
    [{ properties: { a: { minLength: -1 } } }, "body.properties.a.minLength: must be 0"],
    [{ items: { format: "emial" } }, "body.items.format: must be one of"],
    [{ $ref: "https://example.com/schema.json" }, "body.$ref: must point into this schema"],
    [{ $ref: "#/$defs/none" }, "body.$ref: points to nothing"],
    [{ allOf: [] }, "body.allOf: must be a list"],
    [{ required: "a" }, "body.required: must be a list"],
  ]
  for (const [body, message] of bad) {
    const found = checkPolicy(validate, { body })
    expect(found).toHaveLength(1)
    expect(found[0]).toContain(message)
  }
})

test("[F-25] a pattern that could block the gateway is a config problem", () => {
  expect(checkPolicy(validate, { query: { properties: { a: { pattern: "^(a+)+$" } } } })[0]).toContain(
    "exponential",
  )
  expect(checkPolicy(validate, { body: { patternProperties: { "(x|x)*y": {} } } })[0]).toContain(
    "exponential",
  )
  expect(checkPolicy(validate, { body: { patternProperties: { "a+$": {} } } })[0]).toContain("quadratic")
  expect(checkPolicy(validate, { body: { patternProperties: { "^x-": {} } } })).toEqual([])
})

test("a schema that refers to itself without end is a config problem, one that goes down the data is not", () => {
  expect(checkPolicy(validate, { body: { $ref: "#" } })[0]).toContain("without end")
  expect(
    checkPolicy(validate, { body: { anyOf: [{ type: "null" }, { allOf: [{ $ref: "#" }] }] } })[0],
  ).toContain("without end")
  expect(checkPolicy(validate, { body: { properties: { child: { $ref: "#" } } } })).toEqual([])
})

test("options that check nothing, or no media type, are config problems", () => {
  expect(checkPolicy(validate, {})[0]).toContain("checks nothing")
  expect(checkPolicy(validate, { body: {}, content_types: ["json"] })).toHaveLength(1)
})

test("properties may have the names of keywords", async () => {
  const body = {
    properties: { pattern: { type: "string" }, format: { type: "string" }, uniqueItems: { type: "string" } },
    dependentRequired: { pattern: ["format"] },
  }
  expect(checkPolicy(validate, { body })).toEqual([])
  expect(await run({ body }, post(bytes({ pattern: 1 })))).toMatchObject({ code: "VALIDATION_FAILED" })
  expect(await run({ body }, post(bytes({ pattern: "a" })))).toMatchObject({ code: "VALIDATION_FAILED" })
  expect(await run({ body }, post(bytes({ pattern: "a", format: "b" })))).toBeUndefined()
})
