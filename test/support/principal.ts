import type { Principal } from "../../src/identity/principal.ts"

/** Somebody with a token and nothing else. */
export function makePrincipal(changes: Partial<Principal> = {}): Principal {
  return {
    id: "ann",
    kind: "user",
    method: "jwt",
    issuer: "gatehouse",
    roles: [],
    scopes: [],
    permissions: [],
    tier: "free",
    sessionId: "",
    tokenId: "",
    expiresAt: Number.POSITIVE_INFINITY,
    parentId: "",
    ageLimit: undefined,
    blockedContent: [],
    claims: {},
    ...changes,
  }
}
