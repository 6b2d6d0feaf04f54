import { loadOwnKeys } from "../identity/own_keys.ts"
import type { AuthSettings } from "../identity/settings.ts"
import { isIP } from "../lib/ip.ts"
import { didYouMean } from "../lib/suggest.ts"
import { originProblem } from "../policies/origins.ts"
import { parseStoreUrl } from "../store/store_url.ts"
import { checkAuthRoutes } from "./check_auth_routes.ts"
import type { Decoded } from "./decode.ts"
import type { Path } from "./problem.ts"
import type { Report } from "./report.ts"

const HOUR_MS = 3_600_000

/** The sections `auth` and `store`, and what routes ask of callers. Reads the key files that are named. */
export function checkAuth(decoded: Decoded, report: Report): void {
  const { auth, store } = decoded.config
  if (store !== undefined) {
    const parsed = parseStoreUrl(store)
    if (typeof parsed === "string") report.problem(["store"], parsed)
  }
  if (auth !== undefined) {
    checkTimes(auth, report)
    const canSign = checkKeys(auth, report)
    checkIssuers(auth, report)
    checkRoles(decoded, auth, report)
    checkCertificates(decoded, auth, report)
    checkReturns(auth, report)
    checkNeeds(decoded, auth, canSign, report)
  }
  checkAuthRoutes(decoded, report)
}

function checkTimes(auth: AuthSettings, report: Report): void {
  const within = (key: keyof AuthSettings, max: number, text: string, min = 1) => {
    const value = auth[key] as number
    if (value < min || value > max) report.problem(["auth", key], text)
  }
  within("access_token_ttl", 24 * HOUR_MS, "must be more than 0 and at most 24h", 1000)
  within("refresh_token_ttl", 366 * 24 * HOUR_MS, "must be more than 0 and at most 366d", 1000)
  within("refresh_token_max_life", 3660 * 24 * HOUR_MS, "must be more than 0 and at most 3660d", 1000)
  within("audit_retention", 36_600 * 24 * HOUR_MS, "must be at least 1d and at most 36600d", 24 * HOUR_MS)
  within("refresh_grace", HOUR_MS / 12, "must be at most 5m", 0)
  within("leeway", HOUR_MS / 60, "must be at most 60s", 0)
  const { ttl, idle } = auth.session
  if (ttl < 1000) report.problem(["auth", "session", "ttl"], "must be at least 1s")
  if (idle < 1000) report.problem(["auth", "session", "idle"], "must be at least 1s")
  if (auth.lockout.duration < 1000) report.problem(["auth", "lockout", "duration"], "must be at least 1s")
}

/** Whether one of them can sign; a key that cannot be read is said once, and counts as one that can. */
function checkKeys(auth: AuthSettings, report: Report): boolean {
  let canSign = false
  const kids = new Map<string, Path>()
  const load = (at: Path, keys: Pick<AuthSettings, "keys" | "secret">) => {
    try {
      const { sign, verify } = loadOwnKeys(keys)
      canSign ||= sign !== undefined
      const kid = verify[0]?.kid
      if (kid === undefined) return
      const other = kids.get(kid)
      if (other === undefined) kids.set(kid, at)
      else report.problem(at, `has the same kid as auth.keys[${other[2]}]; give each key its own`)
    } catch (error) {
      canSign = true
      report.problem(at, (error as Error).message.replace(/^auth\.[\w.[\]]+: /, ""))
    }
  }
  for (const [i, key] of auth.keys.entries()) {
    const at = ["auth", "keys", i]
    if (key.file !== undefined && key.secret !== undefined)
      report.problem(at, "has both file and secret; keep one")
    else if (key.file === undefined && key.secret === undefined)
      report.problem(at, "needs file, or for an HS… algorithm secret")
    else if (key.secret !== undefined && !key.alg.startsWith("HS"))
      report.problem([...at, "secret"], `${key.alg} needs a PEM file; a secret is for HS256, HS384 and HS512`)
    else if (key.file !== undefined && key.alg.startsWith("HS"))
      report.problem([...at, "file"], `${key.alg} needs secret, not a PEM file`)
    else load(key.file === undefined ? at : [...at, "file"], { keys: [key] })
  }
  if (auth.secret !== undefined) load(["auth", "secret"], { keys: [], secret: auth.secret })
  return canSign
}

function checkIssuers(auth: AuthSettings, report: Report): void {
  const seen = new Set([auth.issuer])
  for (const [i, { issuer, jwks, algorithms }] of auth.issuers.entries()) {
    const at: Path = ["auth", "issuers", i]
    if (issuer === auth.issuer) report.problem([...at, "issuer"], "is the gateway's own, auth.issuer")
    else if (seen.has(issuer)) report.problem([...at, "issuer"], "is there twice")
    seen.add(issuer)
    const problem = jwks === undefined ? urlProblem(issuer) : urlProblem(jwks)
    if (problem !== undefined) report.problem([...at, jwks === undefined ? "issuer" : "jwks"], problem)
    for (const [j, algorithm] of algorithms.entries()) {
      if (algorithm.startsWith("HS"))
        report.problem(
          [...at, "algorithms", j],
          `${algorithm} would let everybody who can verify sign too; use RS256 or ES256`,
        )
    }
  }
  for (const [name, { issuer, scopes }] of Object.entries(auth.providers)) {
    const at: Path = ["auth", "providers", name]
    const problem = urlProblem(issuer)
    if (problem !== undefined) report.problem([...at, "issuer"], problem)
    if (!scopes.includes("openid")) report.problem([...at, "scopes"], "openid must be among them")
  }
}

/** Keys fetched over plain http could be anybody's. */
function urlProblem(text: string): string | undefined {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:"))
    return "is no https URL, so its keys cannot be fetched; set jwks"
  if (url.username !== "" || url.password !== "") return "must not hold credentials"
  if (url.hash !== "") return "must not have a fragment"
  if (url.protocol === "http:" && !isLoopback(url.hostname)) return "must be https; http is for loopback only"
  return undefined
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || (isIP(hostname) === 4 && /^127\./.test(hostname))
}

function checkRoles(decoded: Decoded, auth: AuthSettings, report: Report): void {
  const names = Object.keys(auth.roles)
  const must = (name: string, at: Path) => {
    if (!Object.hasOwn(auth.roles, name))
      report.problem(at, `unknown role ${JSON.stringify(name)}${didYouMean(name, names)}`)
  }
  for (const [name, { includes }] of Object.entries(auth.roles)) {
    for (const [i, included] of includes.entries()) must(included, ["auth", "roles", name, "includes", i])
    if (bringsAlong(auth.roles, name, name))
      report.problem(["auth", "roles", name, "includes"], "the role includes itself, perhaps by others")
  }
  if (auth.registration.enabled || decoded.isWritten(["auth", "registration", "role"]))
    must(auth.registration.role, ["auth", "registration", "role"])
  if (decoded.isWritten(["auth", "family"])) {
    must(auth.family.parent_role, ["auth", "family", "parent_role"])
    must(auth.family.child_role, ["auth", "family", "child_role"])
  }
  for (const [name, { role }] of Object.entries(auth.providers))
    must(role, ["auth", "providers", name, "role"])
  for (const [i, { roles }] of auth.certificates.entries())
    for (const [j, role] of roles.entries()) must(role, ["auth", "certificates", i, "roles", j])
}

function bringsAlong(roles: AuthSettings["roles"], from: string, wanted: string): boolean {
  const found = new Set<string>()
  const queue = [from]
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    for (const included of (Object.hasOwn(roles, name) && roles[name]?.includes) || []) {
      if (included === wanted) return true
      if (!found.has(included)) queue.push(included)
      found.add(included)
    }
  }
  return false
}

function checkCertificates(decoded: Decoded, auth: AuthSettings, report: Report): void {
  const seen = new Map<string, number>()
  for (const [i, { subject, dns, uri, fingerprint }] of auth.certificates.entries()) {
    const at: Path = ["auth", "certificates", i]
    if (subject === undefined && dns === undefined && uri === undefined && fingerprint === undefined) {
      report.problem(at, "fits no certificate; give subject, dns, uri or fingerprint")
      continue
    }
    const print = fingerprint?.replaceAll(":", "").toLowerCase()
    if (print !== undefined && !/^[0-9a-f]{64}$/.test(print))
      report.problem([...at, "fingerprint"], "is no SHA-256 in hex: 64 digits, with or without colons")
    const key = JSON.stringify([subject, dns?.toLowerCase(), uri, print])
    const other = seen.get(key)
    if (other !== undefined) report.problem(at, `asks for the same as auth.certificates[${other}]`)
    else seen.set(key, i)
  }
  const { tls, client_cert_header } = decoded.config.server
  if (auth.certificates.length > 0 && tls?.client_ca === undefined && client_cert_header === undefined)
    report.warning(
      ["auth", "certificates"],
      "no client is asked for a certificate; set server.tls.client_ca, or server.client_cert_header",
    )
}

function checkReturns(auth: AuthSettings, report: Report): void {
  for (const [i, origin] of auth.session.return_to.entries()) {
    const problem =
      origin.includes("*") || origin === "null" ? "must be one plain origin" : originProblem(origin)
    if (problem !== undefined) report.problem(["auth", "session", "return_to", i], problem)
  }
  const { public_url } = auth
  if (public_url === undefined) return
  const plain = !public_url.includes("*") && public_url !== "null"
  const problem = plain ? originProblem(public_url) : "must be one plain origin"
  if (problem !== undefined) report.problem(["auth", "public_url"], problem)
  else if (auth.https === "required" && !public_url.startsWith("https://"))
    report.problem(["auth", "public_url"], "must begin with https://, unless auth.https is off")
}

/** What parts of the section need of others. */
function checkNeeds(decoded: Decoded, auth: AuthSettings, canSign: boolean, report: Report): void {
  const { store } = decoded.config
  const hasStore = store !== undefined || decoded.brokenSections.has("store")
  const verifies = auth.secret !== undefined || auth.keys.length > 0 || auth.issuers.length > 0
  if (!verifies && auth.certificates.length === 0 && !hasStore) {
    report.problem(
      ["auth"],
      "nobody could prove anything: give secret or keys, issuers, certificates, or a store for API keys",
    )
  }
  const uses: Path[] = []
  if (Object.keys(auth.providers).length > 0) uses.push(["auth", "providers"])
  if (auth.registration.enabled) uses.push(["auth", "registration"])
  if (auth.mail !== undefined) {
    uses.push(["auth", "mail"])
    const protocol = URL.parse(auth.mail.smtp)?.protocol
    // The value is not shown: it may hold a password.
    if (protocol !== "smtp:" && protocol !== "smtps:")
      report.problem(["auth", "mail", "smtp"], "must be smtp://host:port or smtps://host:port")
  }
  if (decoded.isWritten(["auth", "family"])) uses.push(["auth", "family"])
  for (const at of uses) {
    if (!hasStore) report.problem(at, "needs store, where accounts are kept")
    if (!canSign) report.problem(at, "needs a key that can sign: auth.secret, or a private key in auth.keys")
  }
  if (auth.forward === "jwt" && !canSign)
    report.problem(
      ["auth", "forward"],
      "jwt needs a key that can sign: auth.secret, or a private key in auth.keys",
    )
}
