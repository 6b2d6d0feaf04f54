/** What is known of an API key. Times are milliseconds since the epoch. The key itself is not known to anybody here. */
export interface ApiKey {
  readonly id: string
  /** Its first characters, to tell keys apart. */
  readonly prefix: string
  readonly name: string
  /** Whose it is: id of an account, or any name of a service. Becomes the id of the caller. */
  readonly owner: string
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  readonly tier: string
  /** Addresses and CIDR ranges it may be used from; empty: any. */
  readonly allowedIps: readonly string[]
  readonly createdAt: number
  /** `undefined`: never. */
  readonly expiresAt: number | undefined
  /** To about a minute; `undefined`: not yet. */
  readonly lastUsedAt: number | undefined
  readonly revokedAt: number | undefined
  /** Id of the key it was rotated from. */
  readonly replaces: string | undefined
}

export interface ApiKeyRow {
  id: string
  prefix: string
  name: string
  owner: string
  roles: string
  scopes: string
  tier: string
  allowed_ips: string
  created_at: number
  expires_at: number | null
  last_used_at: number | null
  revoked_at: number | null
  replaces: string | null
}

/** Columns of a row, without the hash of the key: it never leaves the store. */
export const API_KEY_COLUMNS =
  "id, prefix, name, owner, roles, scopes, tier, allowed_ips, created_at, expires_at, last_used_at, revoked_at, replaces"

export function toApiKey(row: ApiKeyRow): ApiKey {
  return {
    id: row.id,
    prefix: row.prefix,
    name: row.name,
    owner: row.owner,
    roles: JSON.parse(row.roles) as string[],
    scopes: JSON.parse(row.scopes) as string[],
    tier: row.tier,
    allowedIps: JSON.parse(row.allowed_ips) as string[],
    createdAt: row.created_at,
    expiresAt: row.expires_at ?? undefined,
    lastUsedAt: row.last_used_at ?? undefined,
    revokedAt: row.revoked_at ?? undefined,
    replaces: row.replaces ?? undefined,
  }
}

export type ApiKeyStatus = "active" | "expired" | "revoked"

/** `at`: milliseconds since the epoch. */
export function statusOfKey({ revokedAt, expiresAt }: ApiKey, at: number): ApiKeyStatus {
  if (revokedAt !== undefined) return "revoked"
  return expiresAt !== undefined && expiresAt <= at ? "expired" : "active"
}
