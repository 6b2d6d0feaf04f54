import type { StaticDecode, TSchema } from "typebox"
import Value from "typebox/value"
import type { Policy, PolicyDeps, PolicyRoute, PolicySteps } from "../../src/policies/policy.ts"
import { makePolicyDeps } from "./policy_deps.ts"

const ROUTE: PolicyRoute = { path: "/items/*", methods: [], label: "/items/*", service: "items", origins: [] }

function decode<S extends TSchema>(schema: S, written: unknown): StaticDecode<S> {
  return Value.Decode(schema, Value.Default(schema, written)) as StaticDecode<S>
}

/** Compiles a policy from options as config writes them; throws when its own `check` finds something. */
export function compilePolicy<N extends string, S extends TSchema>(
  policy: Policy<N, S>,
  written: unknown = {},
  deps: Partial<PolicyDeps> = {},
  route: Partial<PolicyRoute> = {},
): PolicySteps {
  const options = decode(policy.schema, written)
  const at = { ...ROUTE, ...route }
  const problems = policy.check?.(options, at) ?? []
  if (problems.length > 0) throw new Error(`checking ${policy.name}: ${problems.join("; ")}`)
  return policy.compile(options, makePolicyDeps(deps), at)
}

/** What the policy's `check` finds in options as config writes them. */
export function checkPolicy<N extends string, S extends TSchema>(
  policy: Policy<N, S>,
  written: unknown,
  route: Partial<PolicyRoute> = {},
): readonly string[] {
  return policy.check?.(decode(policy.schema, written), { ...ROUTE, ...route }) ?? []
}
