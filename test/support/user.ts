import { insertUser, newUser, normaliseLogin, type User } from "../../src/identity/users.ts"
import type { Sql } from "../../src/store/sql.ts"

/** Puts an account into a store: of a user of the tier `free`, with no address and no password, but for `changes`. */
export async function addUser(
  sql: Sql,
  login: string,
  at: number,
  changes: Partial<User> = {},
): Promise<User> {
  const own = { login: normaliseLogin(login), email: undefined, displayName: login }
  const user = newUser(at, { ...own, roles: ["user"], tier: "free", ...changes })
  await insertUser(sql, user)
  return user
}
