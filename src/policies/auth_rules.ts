import type { Principal } from "../identity/principal.ts"

/** What a route may ask of a caller, besides a proof and a condition. */
export interface RuleOptions {
  readonly methods: readonly string[]
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  readonly permissions: readonly string[]
  readonly tiers: readonly string[]
  readonly min_age?: number
  readonly content: readonly string[]
}

/** One thing a route asks of its callers. */
export interface Rule {
  /** The key in config, and in `details.missing`. */
  readonly name: string
  /** What the caller lacks; `undefined` when it has it. */
  missing(principal: Principal): unknown
}

/** The rules that are set, in the order config lists them. */
export function compileRules(options: RuleOptions): readonly Rule[] {
  const { methods, roles, scopes, permissions, tiers, min_age, content } = options
  const rules: Rule[] = []
  if (methods.length > 0) rules.push(oneOf("methods", methods, (principal) => principal.method))
  if (roles.length > 0) rules.push(anyRole(roles))
  if (scopes.length > 0) rules.push(allOf("scopes", scopes, (principal) => principal.scopes))
  if (permissions.length > 0) rules.push(allPermissions(permissions))
  if (tiers.length > 0) rules.push(oneOf("tiers", tiers, (principal) => principal.tier))
  if (min_age !== undefined) {
    rules.push({
      name: "min_age",
      missing: ({ ageLimit }) => (ageLimit !== undefined && ageLimit < min_age ? min_age : undefined),
    })
  }
  if (content.length > 0) rules.push(notBlocked(content))
  return rules
}

function oneOf(name: string, accepted: readonly string[], of: (principal: Principal) => string): Rule {
  const known = new Set(accepted)
  return { name, missing: (principal) => (known.has(of(principal)) ? undefined : accepted) }
}

function anyRole(roles: readonly string[]): Rule {
  const accepted = new Set(roles)
  return {
    name: "roles",
    missing(principal) {
      for (let i = 0; i < principal.roles.length; i++) if (accepted.has(principal.roles[i]!)) return undefined
      return roles
    },
  }
}

/** A caller has a handful of them: looking through a list is as fast as a set made for each caller. */
function allOf(
  name: string,
  needed: readonly string[],
  of: (principal: Principal) => readonly string[],
): Rule {
  return {
    name,
    missing(principal) {
      const has = of(principal)
      for (let i = 0; i < needed.length; i++)
        if (!has.includes(needed[i]!)) return needed.filter((each) => !has.includes(each))
      return undefined
    },
  }
}

function allPermissions(needed: readonly string[]): Rule {
  const plain = allOf("permissions", needed, (principal) => principal.permissions)
  return {
    name: plain.name,
    missing: (principal) => (principal.permissions.includes("*") ? undefined : plain.missing(principal)),
  }
}

function notBlocked(tags: readonly string[]): Rule {
  const shown = new Set(tags)
  return {
    name: "content",
    missing({ blockedContent }) {
      for (let i = 0; i < blockedContent.length; i++)
        if (shown.has(blockedContent[i]!)) return blockedContent.filter((tag) => shown.has(tag))
      return undefined
    },
  }
}
