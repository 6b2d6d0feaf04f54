import { insertUser, newUserId, normaliseLogin, type User } from "../../src/identity/users.ts"
import type { Sql } from "../../src/store/sql.ts"

/** Puts an account into a store: of a user of the tier `free`, with no address and no password, but for `changes`. */
export async function addUser(
  sql: Sql,
  login: string,
  at: number,
  changes: Partial<User> = {},
): Promise<User> {
  const user: User = {
    id: newUserId(at),
    login: normaliseLogin(login),
    email: undefined,
    emailVerifiedAt: undefined,
    passwordHash: undefined,
    displayName: login,
    roles: ["user"],
    tier: "free",
    status: "active",
    parentId: undefined,
    ageLimit: undefined,
    blockedContent: [],
    createdAt: at,
    updatedAt: at,
    ...changes,
  }
  await insertUser(sql, user)
  return user
}
