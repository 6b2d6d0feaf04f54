import type { Config } from "../../config/schema.ts"
import { Type } from "../../lib/type.ts"
import type { FieldError } from "../field_errors.ts"

const names = (maxItems: number) =>
  Type.Array(Type.String({ pattern: "^[\\x21-\\x7e]{1,64}$" }), { maxItems, uniqueItems: true })

/** What a caller may: names that must be in the config. */
export const Roles = names(32)
export const Scopes = names(64)
export const Tier = Type.String({ minLength: 1, maxLength: 64 })
/** Without controls and marks that turn the direction of text around them. */
export const Name = Type.String({
  maxLength: 100,
  pattern: "^(?=.*\\S)[^\\u0000-\\u001f\\u007f-\\u009f\\u2028-\\u202e\\u2066-\\u2069]+$",
})

/** What lets a service register itself; it need not be there yet. */
const REGISTRY_SCOPE = /^registry:(?:\*|[a-z][a-z0-9_-]{0,62})$/

interface Rights {
  readonly roles?: readonly string[]
  readonly scopes?: readonly string[]
  readonly tier?: string
}

/** Which of the names the config does not know: a slip here would give nothing, or much later too much. */
export function unknownRights({ roles, scopes, tier }: Rights, config: Config): readonly FieldError[] {
  const { auth } = config
  if (auth === undefined) return []
  const found: FieldError[] = []
  for (const [i, role] of (roles ?? []).entries()) {
    if (!Object.hasOwn(auth.roles, role))
      found.push({ field: `/roles/${i}`, message: `\`auth.roles\` has no role ${JSON.stringify(role)}` })
  }
  const known = scopes === undefined ? undefined : scopesOf(config)
  for (const [i, scope] of (scopes ?? []).entries()) {
    if (!known!.has(scope) && !REGISTRY_SCOPE.test(scope)) {
      const message = `no role gives and no route asks for the scope ${JSON.stringify(scope)}`
      found.push({ field: `/scopes/${i}`, message })
    }
  }
  if (tier !== undefined && !auth.tiers.includes(tier))
    found.push({ field: "/tier", message: `\`auth.tiers\` has no tier ${JSON.stringify(tier)}` })
  return found
}

/** Those roles and certificates give, and those routes ask for. */
function scopesOf({ auth, defaults, routes }: Config): ReadonlySet<string> {
  const asked = [defaults.auth, ...routes.map((route) => route.auth)]
  return new Set([
    ...Object.values(auth!.roles).flatMap(({ scopes }) => scopes),
    ...auth!.certificates.flatMap(({ scopes }) => scopes),
    ...asked.flatMap((each) => each?.scopes ?? []),
  ])
}
