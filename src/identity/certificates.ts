import type { Authenticated } from "./authenticated.ts"
import type { ClientCertificate } from "./certificate.ts"
import type { Principal } from "./principal.ts"
import type { Grants } from "./roles.ts"
import type { AuthSettings } from "./settings.ts"

type Entry = AuthSettings["certificates"][number]

/** Whose a verified certificate is. `undefined`: it proves nobody. */
export type HolderOf = (
  certificate: ClientCertificate,
) => Extract<Authenticated, { kind: "principal" }> | undefined

/** By `auth.certificates`: the first entry all of whose conditions fit. */
export function compileCertificates(
  { certificates, issuer, tiers }: Pick<AuthSettings, "certificates" | "issuer" | "tiers">,
  grants: Grants,
): HolderOf {
  const entries = certificates.map((entry) => ({
    fits: compileConditions(entry),
    id: entry.id,
    scopes: entry.scopes,
    ...rolesOf(entry, grants),
  }))
  const find: HolderOf = (certificate) => {
    const entry = entries.find(({ fits }) => fits(certificate))
    if (entry === undefined) return undefined
    const principal: Principal = {
      id: entry.id,
      kind: "service",
      method: "certificate",
      issuer,
      roles: entry.roles,
      scopes: entry.scopes,
      permissions: entry.permissions,
      tier: tiers[0]!,
      sessionId: "",
      tokenId: "",
      expiresAt: certificate.notAfter,
      parentId: "",
      ageLimit: undefined,
      blockedContent: [],
      claims: {},
    }
    return { kind: "principal", principal }
  }
  // A certificate is one object for the life of its connection.
  const known = new WeakMap<ClientCertificate, ReturnType<HolderOf>>()
  return (certificate) => {
    if (known.has(certificate)) return known.get(certificate)
    const found = find(certificate)
    known.set(certificate, found)
    return found
  }
}

function rolesOf({ roles }: Entry, grants: Grants): Pick<Principal, "roles" | "permissions"> {
  const granted = grants(roles)
  return { roles: granted.roles, permissions: granted.permissions }
}

/** An entry without conditions fits nothing. */
function compileConditions({ subject, dns, uri, fingerprint }: Entry): (of: ClientCertificate) => boolean {
  if (subject === undefined && dns === undefined && uri === undefined && fingerprint === undefined)
    return () => false
  const name = dns?.toLowerCase()
  const print = fingerprint?.replaceAll(":", "").toLowerCase()
  return (of) =>
    (subject === undefined || of.subject === subject) &&
    (name === undefined || of.dns.some((each) => each.toLowerCase() === name)) &&
    (uri === undefined || of.uris.includes(uri)) &&
    (print === undefined || of.fingerprint256 === print)
}
