import type { Sql, SqlValue } from "../store/sql.ts"

export const USER_STATUSES = ["active", "disabled", "deleted"] as const
export type UserStatus = (typeof USER_STATUSES)[number]

/** An account of a person. Times are milliseconds since the epoch. */
export interface User {
  readonly id: string
  /** What one signs in with, normalised: an email address, or the name a parent chose for a child. Unique. */
  readonly login: string
  /** Where mail goes; `undefined`: a child, or whoever signed in elsewhere and has none. */
  readonly email: string | undefined
  readonly emailVerifiedAt: number | undefined
  /** PHC string; `undefined`: there is no password to sign in with. Never shown, never logged. */
  readonly passwordHash: string | undefined
  readonly displayName: string
  readonly roles: readonly string[]
  readonly tier: string
  /** `deleted`: only the id is left, for the records that name it. */
  readonly status: UserStatus
  /** Account of the parent; `undefined`: nobody's child. */
  readonly parentId: string | undefined
  /** Content is suitable up to this age; `undefined`: no restriction. */
  readonly ageLimit: number | undefined
  /** Content tags the account must not be shown. */
  readonly blockedContent: readonly string[]
  readonly createdAt: number
  readonly updatedAt: number
}

/** What of an account can change. A key that is absent stays; `undefined` clears it. */
export type UserChanges = {
  readonly [K in Exclude<keyof User, "id" | "parentId" | "createdAt" | "updatedAt">]?: User[K]
}

interface Row {
  id: string
  login: string
  email: string | null
  email_verified_at: number | null
  password_hash: string | null
  display_name: string
  roles: string
  tier: string
  status: UserStatus
  parent_id: string | null
  age_limit: number | null
  blocked_content: string
  created_at: number
  updated_at: number
}

const COLUMNS = {
  login: "login",
  email: "email",
  emailVerifiedAt: "email_verified_at",
  passwordHash: "password_hash",
  displayName: "display_name",
  roles: "roles",
  tier: "tier",
  status: "status",
  ageLimit: "age_limit",
  blockedContent: "blocked_content",
} as const satisfies Record<keyof UserChanges, string>

/** What is never left to a default when an account is made. */
type Essentials = Pick<User, "login" | "email" | "displayName" | "roles" | "tier">

/**
 * An account that is made now: active, nobody's child, with no password and nothing verified, but for what is given.
 * Ids rise with time. `at`: milliseconds since the epoch.
 */
export function newUser(at: number, given: Essentials & Partial<User>): User {
  return {
    id: Bun.randomUUIDv7("hex", at),
    emailVerifiedAt: undefined,
    passwordHash: undefined,
    status: "active",
    parentId: undefined,
    ageLimit: undefined,
    blockedContent: [],
    createdAt: at,
    updatedAt: at,
    ...given,
  }
}

/**
 * The one form of a login: without spaces around it, compatibility characters replaced (NFKC), in lower case.
 * Whatever is compared or stored goes through it, so that two spellings never become two accounts.
 */
export function normaliseLogin(text: string): string {
  // Once more at the end: lower case of some letters is not composed.
  return text.normalize("NFKC").trim().toLowerCase().normalize("NFKC")
}

/** Also of a deleted account. */
export async function findUser(sql: Sql, id: string): Promise<User | undefined> {
  const row = await sql.get<Row>("SELECT * FROM users WHERE id = $1", [id])
  return row === undefined ? undefined : toUser(row)
}

/** `login` as it was typed; never of a deleted account, as that has none. */
export async function findUserByLogin(sql: Sql, login: string): Promise<User | undefined> {
  const row = await sql.get<Row>("SELECT * FROM users WHERE login = $1", [normaliseLogin(login)])
  return row === undefined ? undefined : toUser(row)
}

/** Children of an account that are not deleted, oldest first. */
export async function findChildren(sql: Sql, parentId: string): Promise<readonly User[]> {
  const rows = await sql.all<Row>(
    "SELECT * FROM users WHERE parent_id = $1 AND status <> 'deleted' ORDER BY id",
    [parentId],
  )
  return rows.map(toUser)
}

/** Whether it was added; false: the login is taken, and nothing has changed. The login must be normalised. */
export async function insertUser(sql: Sql, user: User): Promise<boolean> {
  const count = await sql.run(
    `INSERT INTO users (id, login, email, email_verified_at, password_hash, display_name, roles, tier, status,
       parent_id, age_limit, blocked_content, created_at, updated_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT (login) DO NOTHING`,
    [
      user.id,
      user.login,
      user.email ?? null,
      user.emailVerifiedAt ?? null,
      user.passwordHash ?? null,
      user.displayName,
      JSON.stringify(user.roles),
      user.tier,
      user.status,
      user.parentId ?? null,
      user.ageLimit ?? null,
      JSON.stringify(user.blockedContent),
      user.createdAt,
      user.updatedAt,
    ],
  )
  return count === 1
}

/** Whether there is such an account that is not deleted. Rejects with "conflict" for a login that is taken. */
export async function updateUser(sql: Sql, id: string, changes: UserChanges, at: number): Promise<boolean> {
  const params: SqlValue[] = [id, at]
  const sets = ["updated_at = $2"]
  for (const [key, column] of Object.entries(COLUMNS)) {
    if (!Object.hasOwn(changes, key)) continue
    params.push(toValue(changes[key as keyof UserChanges]))
    sets.push(`${column} = $${params.length}`)
  }
  const text = `UPDATE users SET ${sets.join(", ")} WHERE id = $1 AND status <> 'deleted'`
  return (await sql.run(text, params)) === 1
}

/**
 * Whether the account is active and still has this password hash. Locks it until the transaction ends, so that a
 * change of the password comes either before or after it.
 */
export async function confirmPassword(sql: Sql, id: string, passwordHash: string): Promise<boolean> {
  const text = "UPDATE users SET status = status WHERE id = $1 AND password_hash = $2 AND status = 'active'"
  return (await sql.run(text, [id, passwordHash])) === 1
}

/**
 * Accounts that are not deleted, by id, which is by age. `after`: id of the last one seen. `search`: part of the
 * login, the email address or the display name.
 */
export async function listUsers(
  sql: Sql,
  { after, limit, search }: { after?: string | undefined; limit: number; search?: string | undefined },
): Promise<readonly User[]> {
  const params: SqlValue[] = [after ?? "", limit]
  let filter = ""
  if (search !== undefined && search !== "") {
    params.push(`%${normaliseLogin(search).replace(/[\\%_]/g, "\\$&")}%`)
    filter = String.raw`AND (login LIKE $3 ESCAPE '\' OR email LIKE $3 ESCAPE '\' OR LOWER(display_name) LIKE $3 ESCAPE '\')`
  }
  const text = `SELECT * FROM users WHERE id > $1 AND status <> 'deleted' ${filter} ORDER BY id LIMIT $2`
  return (await sql.all<Row>(text, params)).map(toUser)
}

/** What an API may show of an account, in the names of the API. */
export function publicUser(user: User) {
  return {
    id: user.id,
    login: user.login,
    email: user.email ?? null,
    email_verified: user.emailVerifiedAt !== undefined,
    display_name: user.displayName,
    roles: user.roles,
    tier: user.tier,
    status: user.status,
    parent_id: user.parentId ?? null,
    age_limit: user.ageLimit ?? null,
    blocked_content: user.blockedContent,
    created_at: new Date(user.createdAt).toISOString(),
  }
}

function toUser(row: Row): User {
  return {
    id: row.id,
    login: row.login,
    email: row.email ?? undefined,
    emailVerifiedAt: row.email_verified_at ?? undefined,
    passwordHash: row.password_hash ?? undefined,
    displayName: row.display_name,
    roles: JSON.parse(row.roles) as string[],
    tier: row.tier,
    status: row.status,
    parentId: row.parent_id ?? undefined,
    ageLimit: row.age_limit ?? undefined,
    blockedContent: JSON.parse(row.blocked_content) as string[],
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  }
}

function toValue(value: UserChanges[keyof UserChanges]): SqlValue {
  if (value === undefined) return null
  return typeof value === "object" ? JSON.stringify(value) : value
}
