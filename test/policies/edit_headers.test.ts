import { expect, test } from "bun:test"
import { editHeaders } from "../../src/policies/edit_headers.ts"
import { makeAnswer, makeExchange } from "../support/exchange.ts"
import { checkPolicy, compilePolicy } from "../support/policy.ts"

test("[V-gw.3] request headers are removed, set and added on their way to the service", async () => {
  const steps = compilePolicy(editHeaders, {
    request: { remove: ["X-Old"], set: { "X-Env": "prod" }, add: { "X-Tag": "two" } },
  })
  const exchange = makeExchange({ headers: { "x-old": "1", "x-env": "dev", "x-tag": "one", "x-kept": "k" } })
  expect(await steps.request!(exchange)).toBeUndefined()
  const sent = (name: string) => exchange.requestEdits.get(name, exchange.arrival.fields)
  expect(sent("x-old")).toBeUndefined()
  expect(sent("x-env")).toBe("prod")
  expect(sent("x-tag")).toBe("one, two")
  expect(sent("x-kept")).toBe("k")
})

test("[V-gw.3] response headers are removed, set and added on their way to the client", async () => {
  const steps = compilePolicy(editHeaders, {
    response: { remove: ["Server"], set: { "X-Frame-Options": "DENY" }, add: { Link: "</next>; rel=next" } },
  })
  const exchange = makeExchange()
  exchange.answer = makeAnswer(200, { server: "secret/1.0", "x-frame-options": "ALLOW", link: "</a>" })
  await steps.response!(exchange)
  expect(exchange.responseHeader("server")).toBeUndefined()
  expect(exchange.responseHeader("x-frame-options")).toBe("DENY")
  expect(exchange.responseHeader("link")).toBe("</a>, </next>; rel=next")
})

test("a side without edits has no step", () => {
  expect(compilePolicy(editHeaders, { request: { remove: ["x-a"] } }).response).toBeUndefined()
  expect(compilePolicy(editHeaders, {}).request).toBeUndefined()
})

test("[F-58] headers that frame the message or say who asks cannot be edited", () => {
  const reserved = [
    ...["Host", "Content-Length", "Connection", "Transfer-Encoding", "TE", "Upgrade", "Keep-Alive"],
    ...["X-User-Id", "x_user_roles", "X-Forwarded-For", "Forwarded", "X-Real-IP"],
  ]
  for (const name of reserved) {
    expect(checkPolicy(editHeaders, { request: { set: { [name]: "x" } } })).toHaveLength(1)
    expect(checkPolicy(editHeaders, { response: { remove: [name] } })).toHaveLength(1)
  }
})

test("[F-78] names and values that would break the message are config problems, and values are not repeated", () => {
  for (const name of ["", "a b", "a:b", "ä", "a\tb"])
    expect(checkPolicy(editHeaders, { response: { add: { [name]: "x" } } })).toHaveLength(1)
  for (const value of ["a\r\nx: y", "a\nb", "a\0", " a", "a ", "\u20ac", "secret\u007f"]) {
    const found = checkPolicy(editHeaders, { request: { set: { "x-a": value } } })
    expect(found).toHaveLength(1)
    expect(found[0]).not.toContain("secret")
  }
  for (const value of ["", "a", "a b\tc", "caf\u00e9"])
    expect(checkPolicy(editHeaders, { request: { set: { "x-a": value } } })).toEqual([])
})

test("a name given twice in different case is a config problem", () => {
  expect(checkPolicy(editHeaders, { request: { set: { "X-A": "1", "x-a": "2" } } })).toHaveLength(1)
})
