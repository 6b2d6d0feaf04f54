import { expect, test } from "bun:test"
import type { Principal } from "../../src/identity/principal.ts"
import { PRIORITIES } from "../../src/observe/priority.ts"
import { priority } from "../../src/policies/priority.ts"
import { makeExchange } from "../support/exchange.ts"
import { checkPolicy, compilePolicy } from "../support/policy.ts"
import { makePrincipal } from "../support/principal.ts"

/** The class a request gets. */
function classOf(
  options: unknown,
  request: { principal?: Partial<Principal>; headers?: Record<string, string>; trusted?: boolean } = {},
): string {
  const exchange = makeExchange({ headers: request.headers ?? {} })
  if (request.principal !== undefined) exchange.principal = makePrincipal(request.principal)
  exchange.trusted = request.trusted ?? false
  expect(compilePolicy(priority, options).request!(exchange)).toBeUndefined()
  return PRIORITIES[exchange.priority]
}

const BY_ROLE = { class: "high", roles: { clinician: "critical", admin: "low" } }

test("[T-5.2] requests without the policy are normal", () => {
  expect(PRIORITIES[makeExchange().priority]).toBe("normal")
})

test("[T-5.2] a route has the class it says", () => {
  expect(PRIORITIES.map((name) => classOf(name))).toEqual([...PRIORITIES])
  expect(classOf({})).toBe("normal")
})

test("[T-5.2] therapeutic staff goes before administration: the first role that fits gives the class", () => {
  expect(classOf(BY_ROLE, { principal: { roles: ["clinician"] } })).toBe("critical")
  expect(classOf(BY_ROLE, { principal: { roles: ["admin"] } })).toBe("low")
  expect(classOf(BY_ROLE, { principal: { roles: ["admin", "clinician"] } })).toBe("critical")
  expect(classOf(BY_ROLE, { principal: { roles: ["guest"] } })).toBe("high")
  expect(classOf(BY_ROLE)).toBe("high")
})

test("[T-5.2] a trusted peer says by a header what matters, before all else", () => {
  const options = { ...BY_ROLE, header: "X-Priority" }
  const admin = { principal: { roles: ["admin"] }, trusted: true }
  expect(classOf(options, { ...admin, headers: { "x-priority": "critical" } })).toBe("critical")
  expect(classOf(options, { ...admin, headers: { "x-priority": "urgent" } })).toBe("low")
  expect(classOf(options, admin)).toBe("low")
})

test("[T-5.2] nobody else makes itself important by a header", () => {
  const options = { ...BY_ROLE, header: "X-Priority" }
  expect(classOf(options, { headers: { "x-priority": "critical" } })).toBe("high")
})

test("names of headers that cannot be are config problems", () => {
  expect(checkPolicy(priority, { header: "x priority" })).toEqual([
    'header: no header can have the name "x priority"',
  ])
  expect(checkPolicy(priority, "low")).toEqual([])
})
