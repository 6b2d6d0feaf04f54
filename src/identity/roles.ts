import type { AuthSettings } from "./settings.ts"

/** What roles bring along. Each list is in order of appearance, nothing twice. */
export interface Granted {
  /** The roles themselves and all they include. */
  readonly roles: readonly string[]
  readonly permissions: readonly string[]
  readonly scopes: readonly string[]
}

export type Grants = (roles: readonly string[]) => Granted

/** What roles allow by `auth.roles`. A role config does not know brings nothing. Roles may include each other. */
export function compileGrants({ roles: known }: Pick<AuthSettings, "roles">): Grants {
  const table = new Map(Object.entries(known))
  return (roles) => {
    // A set takes what is added while it is walked, and each only once.
    const all = new Set(roles)
    const permissions = new Set<string>()
    const scopes = new Set<string>()
    for (const name of all) {
      const role = table.get(name)
      if (role === undefined) continue
      for (const each of role.includes) all.add(each)
      for (const each of role.permissions) permissions.add(each)
      for (const each of role.scopes) scopes.add(each)
    }
    return { roles: [...all], permissions: [...permissions], scopes: [...scopes] }
  }
}
