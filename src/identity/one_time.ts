import type { Sql } from "../store/sql.ts"
import type { IdentityContext } from "./context.ts"
import { hashOfToken, newOpaqueToken } from "./opaque_token.ts"

/** What a one-time token is good for, and how long, in milliseconds. */
export const ONE_TIME_TTL_MS = {
  password_reset: 3_600_000,
  email_verification: 172_800_000,
} as const
export type OneTimePurpose = keyof typeof ONE_TIME_TTL_MS

const PREFIX = "gh_ot_"

/** A token for one use; older ones of the account for the same purpose are void. `email`: the address it is sent to. */
export async function issueOneTimeToken(
  context: IdentityContext,
  sql: Sql,
  purpose: OneTimePurpose,
  { userId, email }: { readonly userId: string; readonly email: string },
): Promise<{ readonly token: string; readonly expiresAt: number }> {
  const at = context.wallClock()
  const token = newOpaqueToken(PREFIX, context.randomBytes)
  const expiresAt = at + ONE_TIME_TTL_MS[purpose]
  await voidOneTimeTokens(context, sql, purpose, userId)
  await sql.run(
    `INSERT INTO one_time_tokens (token_hash, purpose, user_id, payload, created_at, expires_at)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    [hashOfToken(token), purpose, userId, JSON.stringify({ email }), at, expiresAt],
  )
  return { token, expiresAt }
}

/** Tokens of the account for this purpose are of no use any more. */
export async function voidOneTimeTokens(
  { wallClock }: IdentityContext,
  sql: Sql,
  purpose: OneTimePurpose,
  userId: string,
): Promise<void> {
  await sql.run(
    "UPDATE one_time_tokens SET used_at = $3 WHERE user_id = $1 AND purpose = $2 AND used_at IS NULL",
    [userId, purpose, wallClock()],
  )
}

/** Whose a token is. `email`: where it was sent to, which is proved by whoever has it. */
export interface OneTimeClaim {
  readonly userId: string
  readonly email: string
}

interface Row {
  user_id: string
  payload: string
}

/** Without using it up. `undefined`: it is wrong, used, void, or too old. */
export async function findOneTimeToken(
  { wallClock }: IdentityContext,
  sql: Sql,
  purpose: OneTimePurpose,
  token: string,
): Promise<OneTimeClaim | undefined> {
  const row = await sql.get<Row>(
    `SELECT user_id, payload FROM one_time_tokens
     WHERE token_hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3`,
    [hashOfToken(token), purpose, wallClock()],
  )
  return row === undefined ? undefined : toClaim(row)
}

/** Uses it up: of callers side by side exactly one gets the claim, once their transactions are committed. */
export async function useOneTimeToken(
  { wallClock }: IdentityContext,
  sql: Sql,
  purpose: OneTimePurpose,
  token: string,
): Promise<OneTimeClaim | undefined> {
  const row = await sql.get<Row>(
    `UPDATE one_time_tokens SET used_at = $3
     WHERE token_hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3
     RETURNING user_id, payload`,
    [hashOfToken(token), purpose, wallClock()],
  )
  return row === undefined ? undefined : toClaim(row)
}

function toClaim({ user_id, payload }: Row): OneTimeClaim {
  return { userId: user_id, email: (JSON.parse(payload) as { email: string }).email }
}
