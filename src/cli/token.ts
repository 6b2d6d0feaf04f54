import { randomUUID } from "node:crypto"
import { ACCESS_TOKEN_TYPE, toAccessClaims } from "../identity/access_claims.ts"
import { loadOwnKeys } from "../identity/own_keys.ts"
import { compileGrants } from "../identity/roles.ts"
import type { AuthSettings } from "../identity/settings.ts"
import { signJwt } from "../identity/sign.ts"
import { parseDuration } from "../lib/units.ts"
import { CONFIG_FLAG, parseCommand } from "./args.ts"
import { describeFindings, findConfigFile, loadFrom, sourceName } from "./config_source.ts"
import { EXIT, type Output } from "./output.ts"
import { usageError } from "./usage.ts"

const FLAGS = {
  ...CONFIG_FLAG,
  sub: { type: "string" },
  roles: { type: "string" },
  scope: { type: "string" },
  tier: { type: "string" },
  ttl: { type: "string" },
} as const

const DEFAULT_TTL = "1h"
const MAX_TTL_MS = 365 * 86_400_000

interface Wanted {
  readonly sub: string
  readonly roles: readonly string[]
  /** `undefined`: those the roles give. */
  readonly scopes: readonly string[] | undefined
  readonly tier: string | undefined
  readonly ttlMs: number
}

/** `gatehouse token --sub ID …`: an access token signed with the config's own key, for development. */
export function token(args: readonly string[], output: Output): number {
  const parsed = parseCommand(args, FLAGS)
  if (!parsed.ok) return usageError("token", parsed.message, output)
  const { config, sub, roles, scope, tier, ttl } = parsed.values as Partial<
    Record<keyof typeof FLAGS, string>
  >
  if (sub === undefined || !/^[^\p{Cc}]{1,256}$/u.test(sub))
    return usageError("token", "--sub must be the id of whom the token is for", output)
  const ttlMs = parseDuration(ttl ?? DEFAULT_TTL)
  if (ttlMs === undefined || ttlMs < 1000 || ttlMs > MAX_TTL_MS)
    return usageError("token", "--ttl must be a duration from 1s to 365d, such as 30m", output)
  const file = findConfigFile(config)
  const loaded = loadFrom(file)
  if (!loaded.ok) {
    output.err(describeFindings(loaded, file))
    return EXIT.usage
  }
  const { auth } = loaded.config
  if (auth === undefined) return usageError("token", `${sourceName(file)} has no section \`auth\``, output)
  const wanted = { sub, roles: words(roles, ",") ?? [], scopes: words(scope, " "), tier, ttlMs }
  const minted = mint(auth, wanted, Date.now())
  if (typeof minted === "string") {
    output.out(`${minted}\n`)
    return EXIT.fine
  }
  return usageError("token", minted.problem, output)
}

const words = (text: string | undefined, separator: string): readonly string[] | undefined =>
  text
    ?.split(separator)
    .map((word) => word.trim())
    .filter((word) => word !== "")

function mint(auth: AuthSettings, wanted: Wanted, issuedAt: number): string | { readonly problem: string } {
  const { sign } = loadOwnKeys(auth)
  if (sign === undefined) return { problem: "no key of `auth` can sign" }
  const unknown = wanted.roles.find((role) => !Object.hasOwn(auth.roles, role))
  if (unknown !== undefined)
    return { problem: `"${unknown}" is none of the roles (${Object.keys(auth.roles).join(", ")})` }
  const { tier = auth.tiers[0]! } = wanted
  if (!auth.tiers.includes(tier))
    return { problem: `"${tier}" is none of the tiers (${auth.tiers.join(", ")})` }
  const subject = {
    id: wanted.sub,
    kind: "user",
    roles: wanted.roles,
    scopes: wanted.scopes ?? compileGrants(auth)(wanted.roles).scopes,
    tier,
    sessionId: "",
    tokenId: randomUUID(),
    parentId: "",
    ageLimit: undefined,
    blockedContent: [],
  } as const
  const { issuer, audience } = auth
  const grant = { issuer, audience, issuedAt, expiresAt: issuedAt + wanted.ttlMs }
  return signJwt(toAccessClaims(subject, grant), sign, ACCESS_TOKEN_TYPE)
}
