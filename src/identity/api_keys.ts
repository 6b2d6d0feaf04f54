import type { Sql } from "../store/sql.ts"
import { type Actor, recordOf } from "./accounts.ts"
import { createApiKey } from "./api_key_format.ts"
import { API_KEY_COLUMNS, type ApiKey, type ApiKeyRow, statusOfKey, toApiKey } from "./api_key_rows.ts"
import type { IdentityContext } from "./context.ts"
import { hashOfToken } from "./opaque_token.ts"

/** Keys kept. At the cap those that are dead make room, oldest first; when there are none, no key is made. */
export const MAX_API_KEYS = 100_000
const PURGE_BATCH = 1000
/** Of the key itself: enough to tell keys apart, and 166 bits less than enough to guess the rest. */
const PREFIX_LENGTH = 12
/** Longer than any worker believes an answer, with room for clocks of VMs that differ. */
const REVOKED_MS = 3_600_000
/** The same for keys that may be good again. */
const SUSPENDED_MS = 120_000

export const DEFAULT_OVERLAP_MS = 86_400_000
export const MAX_OVERLAP_MS = 30 * 86_400_000
/** Below, a worker that knows the old key could believe it for longer. 0 is exact: the old one is revoked. */
export const MIN_OVERLAP_MS = 60_000

export type NewApiKey = Pick<
  ApiKey,
  "name" | "owner" | "roles" | "scopes" | "tier" | "allowedIps" | "expiresAt"
>

/** A key that was just made. `secret`: the whole key, for the one who asked; it cannot be shown again. */
export interface MadeApiKey {
  readonly kind: "made"
  readonly key: ApiKey
  readonly secret: string
}

export type TooMany = { readonly kind: "too_many"; readonly max: number }
export type NoSuchKey = { readonly kind: "not_found" }

/** Names of roles, scopes and tier must be checked before. Rejects with a `StoreError`. */
export function issueApiKey(
  context: IdentityContext,
  wanted: NewApiKey,
  actor: Actor,
): Promise<MadeApiKey | TooMany> {
  return context.store.transaction(async (sql) => {
    if (!(await hasRoom(sql, context.wallClock()))) return { kind: "too_many", max: MAX_API_KEYS }
    const made = await insertKey(context, sql, wanted, undefined)
    const { id, prefix, name, owner } = made.key
    await context.audit(sql, recordOf(actor, "api_key.create", "success", id, { prefix, name, owner }))
    context.count("api_key", "success")
    return made
  })
}

/**
 * A new key with the rights of an old one, which goes on for `overlapMs` (0, or `MIN_OVERLAP_MS` to
 * `MAX_OVERLAP_MS`) and never longer than it would have. The new one lives until `expiresAt`; `undefined`: as long
 * as the old one was made for. "not_active": the old one has expired or was revoked.
 */
export function rotateApiKey(
  context: IdentityContext,
  id: string,
  { overlapMs, expiresAt }: { readonly overlapMs: number; readonly expiresAt: number | undefined },
  actor: Actor,
): Promise<(MadeApiKey & { readonly old: ApiKey }) | TooMany | NoSuchKey | { readonly kind: "not_active" }> {
  return context.store.transaction(async (sql) => {
    const at = context.wallClock()
    // Locks it: of a rotation and a revocation side by side the second one sees what the first has done.
    await sql.run("UPDATE api_keys SET revoked_at = revoked_at WHERE id = $1", [id])
    const before = await findApiKey(sql, id)
    if (before === undefined) return { kind: "not_found" }
    if (statusOfKey(before, at) !== "active") return { kind: "not_active" }
    if (!(await hasRoom(sql, at))) return { kind: "too_many", max: MAX_API_KEYS }
    const life = before.expiresAt === undefined ? undefined : before.expiresAt - before.createdAt
    const until = expiresAt ?? (life === undefined ? undefined : at + life)
    const made = await insertKey(context, sql, { ...before, expiresAt: until }, id)
    const oldUntil = Math.min(before.expiresAt ?? Number.POSITIVE_INFINITY, at + overlapMs)
    await sql.run("UPDATE api_keys SET expires_at = $2, revoked_at = $3 WHERE id = $1", [
      id,
      oldUntil,
      overlapMs === 0 ? at : null,
    ])
    if (overlapMs === 0) await tellRevoked(context, sql, [id], at + REVOKED_MS)
    const details = { replaced_by: made.key.id, overlap_s: Math.floor(overlapMs / 1000) }
    await context.audit(sql, recordOf(actor, "api_key.rotate", "success", id, details))
    context.count("api_key", "success")
    return { ...made, old: (await findApiKey(sql, id))! }
  })
}

/** Ends a key at once, on all workers of all VMs within a second. Again does no harm. */
export function revokeApiKey(
  context: IdentityContext,
  id: string,
  actor: Actor,
): Promise<{ readonly kind: "revoked"; readonly key: ApiKey } | NoSuchKey> {
  return context.store.transaction(async (sql) => {
    await revokeWhere(context, sql, "id", id, actor)
    const key = await findApiKey(sql, id)
    return key === undefined ? { kind: "not_found" } : { kind: "revoked", key }
  })
}

/** Ends all keys of an owner, within the transaction of `sql`. */
export function revokeApiKeysOf(
  context: IdentityContext,
  sql: Sql,
  owner: string,
  actor: Actor,
): Promise<void> {
  return revokeWhere(context, sql, "owner", owner, actor)
}

/**
 * Has workers forget what they know of an owner's keys, as they are refused while its account is disabled. For two
 * minutes they refuse them also when it is enabled again.
 */
export async function suspendApiKeysOf(context: IdentityContext, sql: Sql, owner: string): Promise<void> {
  const text = "SELECT id FROM api_keys WHERE owner = $1 AND revoked_at IS NULL"
  const ids = (await sql.all<{ id: string }>(text, [owner])).map(({ id }) => id)
  await tellRevoked(context, sql, ids, context.wallClock() + SUSPENDED_MS)
}

export async function findApiKey(sql: Sql, id: string): Promise<ApiKey | undefined> {
  const row = await sql.get<ApiKeyRow>(`SELECT ${API_KEY_COLUMNS} FROM api_keys WHERE id = $1`, [id])
  return row === undefined ? undefined : toApiKey(row)
}

/** By age. `after`: id of the last one seen; `owner`: of this one only. */
export async function listApiKeys(
  sql: Sql,
  { after, limit, owner }: { after: string | undefined; limit: number; owner: string | undefined },
): Promise<readonly ApiKey[]> {
  const filter = owner === undefined ? "" : "AND owner = $3"
  const rows = await sql.all<ApiKeyRow>(
    `SELECT ${API_KEY_COLUMNS} FROM api_keys WHERE id > $1 ${filter} ORDER BY id LIMIT $2`,
    [after ?? "", limit, ...(owner === undefined ? [] : [owner])],
  )
  return rows.map(toApiKey)
}

async function insertKey(
  { wallClock, randomBytes }: IdentityContext,
  sql: Sql,
  { name, owner, roles, scopes, tier, allowedIps, expiresAt }: NewApiKey,
  replaces: string | undefined,
): Promise<MadeApiKey> {
  const createdAt = wallClock()
  const secret = createApiKey(randomBytes)
  const key: ApiKey = {
    id: Bun.randomUUIDv7("hex", createdAt),
    prefix: secret.slice(0, PREFIX_LENGTH),
    name,
    owner,
    roles,
    scopes,
    tier,
    allowedIps,
    createdAt,
    expiresAt,
    lastUsedAt: undefined,
    revokedAt: undefined,
    replaces,
  }
  await sql.run(
    `INSERT INTO api_keys (id, key_hash, prefix, name, owner, roles, scopes, tier, allowed_ips, created_at, expires_at, replaces)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
    [
      key.id,
      hashOfToken(secret),
      key.prefix,
      name,
      owner,
      JSON.stringify(roles),
      JSON.stringify(scopes),
      tier,
      JSON.stringify(allowedIps),
      createdAt,
      expiresAt ?? null,
      replaces ?? null,
    ],
  )
  return { kind: "made", key, secret }
}

async function hasRoom(sql: Sql, at: number): Promise<boolean> {
  const { n } = (await sql.get<{ n: number }>("SELECT count(*) AS n FROM api_keys"))!
  if (n < MAX_API_KEYS) return true
  const purged = await sql.run(
    `DELETE FROM api_keys WHERE id IN (
       SELECT id FROM api_keys WHERE revoked_at IS NOT NULL OR expires_at <= $1 ORDER BY id LIMIT ${PURGE_BATCH})`,
    [at],
  )
  return purged > 0
}

async function revokeWhere(
  context: IdentityContext,
  sql: Sql,
  column: "id" | "owner",
  value: string,
  actor: Actor,
): Promise<void> {
  const at = context.wallClock()
  const revoked = await sql.all<{ id: string; prefix: string }>(
    `UPDATE api_keys SET revoked_at = $2 WHERE ${column} = $1 AND revoked_at IS NULL RETURNING id, prefix`,
    [value, at],
  )
  await tellRevoked(
    context,
    sql,
    revoked.map(({ id }) => id),
    at + REVOKED_MS,
  )
  for (const { id, prefix } of revoked) {
    await context.audit(sql, recordOf(actor, "api_key.revoke", "success", id, { prefix }))
    context.count("api_key", "success")
  }
}

async function tellRevoked(
  context: IdentityContext,
  sql: Sql,
  ids: readonly string[],
  expiresAt: number,
): Promise<void> {
  await context.revoke(
    sql,
    ids.map((subject) => ({ kind: "api_key", subject, expiresAt })),
  )
}
