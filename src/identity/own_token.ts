import type { JsonObject } from "../lib/json_object.ts"
import type { Sql } from "../store/sql.ts"
import { ACCESS_TOKEN_TYPE } from "./access_claims.ts"
import { checkClaims } from "./claims.ts"
import type { IdentityContext } from "./context.ts"
import { parseJws } from "./jws.ts"
import { verifyWithSet } from "./key_set.ts"

/** Claims of an access token this gateway has issued and that holds now, by the store; else `undefined`. */
export async function liveOwnClaims(
  { settings, keys, wallClock }: IdentityContext,
  sql: Sql,
  token: string,
): Promise<JsonObject | undefined> {
  const jws = parseJws(token)
  if (jws.kind === "fault") return undefined
  const key = verifyWithSet(jws, keys().set)
  if ("kind" in key) return undefined
  const { issuer, audience, leeway } = settings()
  const rules = {
    issuer,
    audience,
    types: [ACCESS_TOKEN_TYPE],
    leewayS: leeway / 1000,
    require: ["sub", "jti"],
  }
  if (checkClaims(jws, rules, wallClock() / 1000) !== undefined) return undefined
  const { jti, sid } = jws.claims
  const revoked = await sql.get(
    `SELECT 1 AS revoked FROM revocations
     WHERE (kind = 'token' AND subject = $1) OR (kind = 'session' AND subject = $2)`,
    [jti as string, typeof sid === "string" ? sid : ""],
  )
  return revoked === undefined ? jws.claims : undefined
}
