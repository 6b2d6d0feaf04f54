import type { AuthSettings } from "./settings.ts"

/** What roles bring along. Each list is in order of appearance, nothing twice. */
export interface Grants {
  /** The roles themselves and all they include. */
  readonly roles: readonly string[]
  readonly permissions: readonly string[]
  readonly scopes: readonly string[]
}

/** What `roles` allow by `auth.roles`. A role config does not know brings nothing. Roles may include each other. */
export function grantsOf({ roles: known }: Pick<AuthSettings, "roles">, roles: readonly string[]): Grants {
  // A set takes what is added while it is walked, and each only once.
  const all = new Set(roles)
  const permissions = new Set<string>()
  const scopes = new Set<string>()
  for (const name of all) {
    if (!Object.hasOwn(known, name)) continue
    const role = known[name]!
    for (const each of role.includes) all.add(each)
    for (const each of role.permissions) permissions.add(each)
    for (const each of role.scopes) scopes.add(each)
  }
  return { roles: [...all], permissions: [...permissions], scopes: [...scopes] }
}
