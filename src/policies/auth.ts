import type { StaticDecode } from "typebox"
import type { Authenticated } from "../identity/authenticated.ts"
import type { Principal } from "../identity/principal.ts"
import { FORWARD_MODES } from "../identity/settings.ts"
import { Type } from "../lib/type.ts"
import type { Exchange } from "../upstream/exchange.ts"
import { type Condition, compileCondition } from "./auth_expression.ts"
import { compileForward } from "./auth_forward.ts"
import { compileRules, type Rule } from "./auth_rules.ts"
import { challenge } from "./challenge.ts"
import { compileBrowserCheck } from "./csrf.ts"
import { type Failure, fail } from "./failure.ts"
import { definePolicy, type PolicyRoute, type PolicySteps, type Verdict } from "./policy.ts"

/** Keys of an issuer are asked for again about this soon. */
const UNAVAILABLE = fail("SERVICE_UNAVAILABLE", {
  message: "It cannot be told now who is calling.",
  retryAfterS: 5,
  cause: "credentials cannot be verified",
})
const CONDITION = { missing: { condition: "owner" } }
const notOwner = fail("FORBIDDEN", { details: CONDITION })
/** What goes wrong in a condition is for its author: the log has it. */
const undecided = (cause: string) => fail("FORBIDDEN", { details: CONDITION, cause })
const NO_SECTION = fail("AUTH_ERROR", { cause: "there is no section auth" })

const list = (description: string) =>
  Type.Array(Type.String({ minLength: 1 }), { default: [], uniqueItems: true, description })

export const auth = definePolicy({
  name: "auth",
  doc: "Asks who is calling (401) and whether the caller may (403).",
  failsClosed: true,
  schema: Type.Object(
    {
      required: Type.Boolean({
        default: true,
        description: "Whether a caller without credentials is refused. Wrong credentials always are.",
      }),
      methods: Type.Array(Type.Enum(["jwt", "session", "api_key", "certificate"]), {
        default: [],
        uniqueItems: true,
        description: "Kinds of proof accepted; empty: all.",
      }),
      roles: list("The caller must have one of these roles."),
      scopes: list("The caller must have all of these scopes."),
      permissions: list("The caller must have all of these permissions, by its roles."),
      tiers: list("The caller must be of one of these tiers."),
      owner: Type.Optional(
        Type.String({
          description:
            'Condition in CEL on `path`, `query`, `headers`, `method` and `principal` (`id`, `kind`, `method`, `issuer`, `roles`, `scopes`, `permissions`, `tier`, `session_id`, `token_id`, `parent_id`, `age_limit`, `blocked_content`, `claims`), e.g. `path.id == principal.id || "admin" in principal.roles`. What cannot be told is refused, a parameter sent twice too.',
        }),
      ),
      min_age: Type.Optional(
        Type.Integer({
          minimum: 0,
          maximum: 21,
          description: "Accounts with an age limit below this are refused.",
        }),
      ),
      content: list("Content tags of what is behind the route; accounts that block one of them are refused."),
      forward: Type.Optional(
        Type.Enum([...FORWARD_MODES], {
          description: "How the service learns who calls; default: `auth.forward` of the whole config.",
        }),
      ),
    },
    { additionalProperties: false },
  ),
  check(options, route) {
    const found: string[] = []
    if (options.owner !== undefined) {
      const condition = compileCondition(options.owner, parametersOf(route))
      if (typeof condition === "string") found.push(`owner: ${condition}`)
    }
    if (!options.required) {
      for (const key of ["roles", "scopes", "permissions", "tiers", "owner"] as const) {
        if ((options[key]?.length ?? 0) > 0)
          found.push(`${key}: cannot be asked of callers that need not be known; drop \`required: false\``)
      }
    }
    return found
  },
  compile(options, { identity, wallClock }, route): PolicySteps {
    const { settings } = identity
    // The config check refuses such a route; should one get here, nobody is let in.
    if (settings === undefined) return { request: () => NO_SECTION }
    const rules = compileRules(options)
    const condition = conditionOf(options.owner, route)
    const forward =
      route.service === ""
        ? undefined
        : compileForward(options.forward ?? settings.forward, settings, identity, route.service)
    const checkBrowser = compileBrowserCheck(settings, route.origins)
    const anonymous = fail("AUTH_ERROR", {
      headers: { "www-authenticate": challenge(settings.issuer) },
    })
    const scopeChallenge = challenge(settings.issuer, "insufficient_scope", options.scopes)

    function refuse(exchange: Exchange, failure: Failure, reason: string): Failure {
      identity.failed({
        at: wallClock(),
        reason,
        client: exchange.client,
        route: route.label,
        requestId: exchange.id,
        actor: exchange.principal?.id ?? "",
      })
      return failure
    }

    function decide(exchange: Exchange, found: Authenticated): Verdict {
      switch (found.kind) {
        case "principal":
          return decideOn(exchange, found.principal)
        case "anonymous":
          if (options.required) return refuse(exchange, anonymous, "anonymous")
          forward?.(exchange, undefined)
          return undefined
        case "fault": {
          const header = challenge(settings!.issuer, "invalid_token", undefined, found.message)
          const failure = fail("AUTH_ERROR", { headers: { "www-authenticate": header } })
          return refuse(exchange, failure, found.reason)
        }
        case "unavailable":
          return refuse(exchange, UNAVAILABLE, "unavailable")
      }
    }

    function decideOn(exchange: Exchange, principal: Principal): Verdict {
      exchange.principal = principal
      if (principal.method === "session") {
        const failure = checkBrowser(exchange)
        if (failure !== undefined)
          return refuse(exchange, failure, failure.code === "CSRF_FAILED" ? "csrf" : "origin")
      }
      for (let i = 0; i < rules.length; i++) {
        if (rules[i]!.missing(principal) !== undefined) return forbid(exchange, principal)
      }
      if (condition !== undefined) {
        const held = condition.holds(exchange, principal)
        if (held !== true) return refuse(exchange, held === false ? notOwner : undecided(held), "condition")
      }
      forward?.(exchange, principal)
      return undefined
    }

    /** Names everything the caller lacks at once. */
    function forbid(exchange: Exchange, principal: Principal): Failure {
      const missing = missingOf(rules, principal)
      const failure = fail("FORBIDDEN", {
        details: { missing },
        headers: "scopes" in missing ? { "www-authenticate": scopeChallenge } : {},
      })
      return refuse(exchange, failure, Object.keys(missing).join(","))
    }

    return {
      request(exchange) {
        const found = identity.authenticate(exchange)
        return found instanceof Promise
          ? found.then((late) => decide(exchange, late))
          : decide(exchange, found)
      },
    }
  },
})

function missingOf(rules: readonly Rule[], principal: Principal): Record<string, unknown> {
  const missing: Record<string, unknown> = {}
  for (const rule of rules) {
    const lacks = rule.missing(principal)
    if (lacks !== undefined) missing[rule.name] = lacks
  }
  return missing
}

function conditionOf(text: string | undefined, route: PolicyRoute): Condition | undefined {
  if (text === undefined) return undefined
  const condition = compileCondition(text, parametersOf(route))
  if (typeof condition === "string") throw new Error(`compiling auth: owner: ${condition}`)
  return condition
}

/** Names of what the path captures, `*` for a wildcard. */
function parametersOf({ path }: PolicyRoute): readonly string[] {
  const names: string[] = []
  for (const segment of path.split("/")) {
    if (segment.startsWith(":")) names.push(segment.slice(1))
    else if (segment.startsWith("{") && segment.endsWith("}")) names.push(segment.slice(1, -1))
    else if (segment === "*") names.push("*")
  }
  return names
}

/** Options of a route that any caller may use, whoever it is. */
export const ANY_CALLER: StaticDecode<typeof auth.schema> = {
  required: true,
  methods: [],
  roles: [],
  scopes: [],
  permissions: [],
  tiers: [],
  content: [],
}
