import { API_KEY_COLUMNS, type ApiKey, type ApiKeyRow, statusOfKey, toApiKey } from "./api_key_rows.ts"
import type { IdentityContext } from "./context.ts"
import type { CredentialAnswer } from "./messages.ts"
import { compileGrants } from "./roles.ts"
import type { UserStatus } from "./users.ts"

/** How often the last use of a key is written at most. */
const TOUCH_MS = 60_000

const UNKNOWN: CredentialAnswer = { kind: "unknown" }

const COLUMNS = API_KEY_COLUMNS.split(", ")
  .map((column) => `k.${column}`)
  .join(", ")

/** Of the owner, when that is an account; else all are null. */
interface Row extends ApiKeyRow {
  owner_status: UserStatus | null
  owner_roles: string | null
  parent_id: string | null
  age_limit: number | null
  blocked_content: string | null
}

/**
 * Whose an API key is, by its SHA-256 in hex. Keys that are unknown, expired, revoked, or of an account that is not
 * active are answered alike, after the same work. A key of an account is bound by its age limit and blocked content, and
 * gives no role or scope the account does not have itself at the time.
 * Rejects with a `StoreError`.
 */
export async function holderOfApiKey(context: IdentityContext, hash: string): Promise<CredentialAnswer> {
  const { store, settings, wallClock } = context
  const row = await store.get<Row>(
    `SELECT ${COLUMNS}, u.status AS owner_status, u.roles AS owner_roles, u.parent_id, u.age_limit, u.blocked_content
     FROM api_keys k LEFT JOIN users u ON u.id = k.owner WHERE k.key_hash = $1`,
    [hash],
  )
  if (row === undefined) return UNKNOWN
  const at = wallClock()
  const key = toApiKey(row)
  const isOwnerActive = row.owner_status === null || row.owner_status === "active"
  if (statusOfKey(key, at) !== "active" || !isOwnerActive) return UNKNOWN
  await touch(context, key, at)
  return {
    kind: "principal",
    principal: {
      id: key.owner,
      kind: row.owner_status === null ? "service" : "user",
      method: "api_key",
      issuer: settings().issuer,
      ...rightsOf(context, key, row.owner_roles),
      permissions: [],
      tier: key.tier,
      sessionId: "",
      tokenId: key.id,
      expiresAt: key.expiresAt ?? Number.POSITIVE_INFINITY,
      parentId: row.parent_id ?? "",
      ageLimit: row.age_limit ?? undefined,
      blockedContent: row.blocked_content === null ? [] : (JSON.parse(row.blocked_content) as string[]),
      claims: {},
    },
    allowedIps: key.allowedIps,
  }
}

/** Else a key would outlive the rights of whoever has it. `ownerRoles`: of the account, in JSON; null for a service. */
function rightsOf(
  { settings }: Pick<IdentityContext, "settings">,
  { roles, scopes }: ApiKey,
  ownerRoles: string | null,
): Pick<ApiKey, "roles" | "scopes"> {
  if (ownerRoles === null) return { roles, scopes }
  const owner = compileGrants(settings())(JSON.parse(ownerRoles) as string[])
  return {
    roles: roles.filter((role) => owner.roles.includes(role)),
    scopes: scopes.filter((scope) => owner.scopes.includes(scope)),
  }
}

async function touch({ store }: IdentityContext, { id, lastUsedAt }: ApiKey, at: number): Promise<void> {
  if (lastUsedAt !== undefined && at - lastUsedAt < TOUCH_MS) return
  try {
    // Of several at once the first is enough.
    await store.run(
      "UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at <= $3)",
      [id, at, at - TOUCH_MS],
    )
  } catch {
    // A store that can only be read still says whose the key is; that it failed is in its own log and metric.
  }
}
