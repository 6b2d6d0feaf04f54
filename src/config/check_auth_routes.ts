import type { AuthSettings } from "../identity/settings.ts"
import { didYouMean } from "../lib/suggest.ts"
import type { auth as authPolicy } from "../policies/auth.ts"
import type { Decoded } from "./decode.ts"
import type { Path } from "./problem.ts"
import type { Report } from "./report.ts"
import type { RouteConfig } from "./schema.ts"

type Asked = NonNullable<RouteConfig[typeof authPolicy.name]>

/** What routes ask of callers: names must exist, and somebody must be able to get in. */
export function checkAuthRoutes(decoded: Decoded, report: Report): void {
  const { config, routeIndex, brokenSections } = decoded
  const places: [asked: Asked, at: Path][] = []
  if (config.defaults.auth !== undefined) places.push([config.defaults.auth, ["defaults", "auth"]])
  for (const [i, { auth }] of config.routes.entries())
    if (auth !== undefined) places.push([auth, ["routes", routeIndex[i]!, "auth"]])
  if (config.auth === undefined) {
    if (brokenSections.has("auth")) return
    for (const [, at] of places)
      report.problem(at, "there is no section auth, so nobody could ever be let in; add auth: { secret: … }")
    return
  }
  const names = namesOf(config.auth)
  for (const [asked, at] of places) checkAsked(asked, config.auth, names, at, report)
}

interface Names {
  readonly roles: readonly string[]
  readonly scopes: ReadonlySet<string>
  readonly permissions: ReadonlySet<string>
}

function namesOf(auth: AuthSettings): Names {
  const roles = Object.values(auth.roles)
  return {
    roles: Object.keys(auth.roles),
    scopes: new Set([...roles, ...auth.certificates].flatMap(({ scopes }) => scopes)),
    permissions: new Set(roles.flatMap(({ permissions }) => permissions)),
  }
}

function checkAsked(asked: Asked, auth: AuthSettings, names: Names, at: Path, report: Report): void {
  for (const [i, tier] of asked.tiers.entries()) {
    if (!auth.tiers.includes(tier))
      report.problem(
        [...at, "tiers", i],
        `unknown tier ${JSON.stringify(tier)}${didYouMean(tier, auth.tiers)}`,
      )
  }
  // Permissions come from the roles of this file only, whoever the caller is.
  for (const [i, permission] of asked.permissions.entries()) {
    if (!names.permissions.has(permission) && !names.permissions.has("*")) {
      const hint = didYouMean(permission, names.permissions)
      report.problem([...at, "permissions", i], `no role gives ${JSON.stringify(permission)}${hint}`)
    }
  }
  if (asked.forward === "jwt" && auth.secret === undefined && auth.keys.length === 0)
    report.problem(
      [...at, "forward"],
      "jwt needs a key that can sign: auth.secret, or a private key in auth.keys",
    )
  // Other issuers give roles and scopes this file need not know.
  if (auth.issuers.length > 0) return
  for (const [i, role] of asked.roles.entries()) {
    if (!names.roles.includes(role))
      report.problem(
        [...at, "roles", i],
        `unknown role ${JSON.stringify(role)}${didYouMean(role, names.roles)}`,
      )
  }
  for (const [i, scope] of asked.scopes.entries()) {
    // API keys and clients may be given any scope, so this may still be meant.
    if (!names.scopes.has(scope))
      report.warning(
        [...at, "scopes", i],
        `no role gives the scope ${JSON.stringify(scope)}${didYouMean(scope, names.scopes)}`,
      )
  }
}
