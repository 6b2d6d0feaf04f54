import * as openid from "openid-client"
import { askServer } from "./fetch_document.ts"
import type { ProviderSource } from "./provider_source.ts"
import { isEmail } from "./registration.ts"
import type { SignInState } from "./sign_in_state.ts"
import { normaliseLogin } from "./users.ts"

/** Longest time for all that is asked of a provider at one sign-in, in ms. */
const EXCHANGE_MS = 10_000
const MAX_SUBJECT = 255
const MAX_NAME = 100
/** Has no place in what is stored, shown and logged: control characters, halves of characters. */
const UNPRINTABLE = /\p{C}+/gu
/** Of RFC 6749 section 5.2: what an operator must know to set it right. */
const TOKEN_ERRORS: ReadonlySet<string> = new Set([
  "invalid_request",
  "invalid_client",
  "invalid_grant",
  "unauthorized_client",
  "unsupported_grant_type",
])

/** What is kept of somebody's account at a provider; nothing else of its answers is. */
export interface ProviderClaims {
  /** The provider's id of the account, which never changes. */
  readonly subject: string
  /** Only if the provider says that it is verified. */
  readonly email: string | undefined
  readonly name: string | undefined
}

export type Exchanged =
  | { readonly kind: "proved"; readonly claims: ProviderClaims }
  /** The provider says that nobody signed in. `error`: its code (RFC 6749 section 4.1.2.1), as it came. */
  | { readonly kind: "declined"; readonly error: string }
  /** The answer or the ID token is not what it must be. `reason`: for the record, nothing out of the answer. */
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "away"; readonly reason: string }

/** Where a browser is sent to sign in: authorization code flow with PKCE (RFC 7636, RFC 9700 section 2.1). */
export async function authorizationUrl(
  source: ProviderSource,
  metadata: openid.ServerMetadata,
  redirectUri: string,
  { state, nonce, verifier }: SignInState,
): Promise<string> {
  const config = new openid.Configuration(metadata, source.settings.client_id)
  if (metadata.issuer.startsWith("http:")) openid.allowInsecureRequests(config)
  const url = openid.buildAuthorizationUrl(config, {
    response_type: "code",
    redirect_uri: redirectUri,
    scope: source.settings.scopes.join(" "),
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state,
    nonce,
  })
  return url.href
}

/**
 * Redeems the code a browser came back with and verifies who signed in: state, issuer (RFC 9207), and of the ID
 * token signature, issuer, audience, times and nonce (OpenID Connect Core 1.0 section 3.1.3.7). `wantsProfile`:
 * also asks for what the ID token left out. `leewayMs`: clock difference allowed for. Tokens of the provider are
 * dropped.
 */
export async function exchangeCode(
  source: ProviderSource,
  metadata: openid.ServerMetadata,
  callback: { readonly redirectUri: string; readonly query: string },
  state: SignInState,
  options: { readonly leewayMs: number; wantsProfile(subject: string): Promise<boolean> },
): Promise<Exchanged> {
  const outage: Outage = { reason: undefined }
  const config = configurationOf(source, metadata, options.leewayMs, outage)
  try {
    const tokens = await openid.authorizationCodeGrant(
      config,
      new URL(`${callback.redirectUri}?${callback.query}`),
      { expectedState: state.state, expectedNonce: state.nonce, pkceCodeVerifier: state.verifier },
    )
    // There is one: a nonce was expected.
    const id = tokens.claims()!
    if (!isSubject(id.sub)) return { kind: "refused", reason: "subject" }
    const asks = id.email === undefined && metadata.userinfo_endpoint !== undefined
    const profile =
      asks && (await options.wantsProfile(id.sub))
        ? await profileOf(config, tokens.access_token, id.sub)
        : undefined
    return { kind: "proved", claims: minimalClaims(id.sub, id.name, profile ?? id) }
  } catch (error) {
    if (error instanceof openid.AuthorizationResponseError) return { kind: "declined", error: error.error }
    if (outage.reason !== undefined) return { kind: "away", reason: outage.reason }
    if (error instanceof openid.ResponseBodyError && TOKEN_ERRORS.has(error.error))
      return { kind: "refused", reason: error.error }
    const { code } = error as { code?: unknown }
    // Every other error is a bug.
    if (typeof code !== "string" || !(error instanceof Error)) throw error
    return { kind: "refused", reason: code.toLowerCase() }
  }
}

/** Why the provider could not be asked, if so: the library's errors do not tell that from a wrong answer. */
interface Outage {
  reason: string | undefined
}

/** One for each sign-in: the library keeps keys in it, and would not look for new ones for a minute. */
function configurationOf(
  source: ProviderSource,
  metadata: openid.ServerMetadata,
  leewayMs: number,
  outage: Outage,
): openid.Configuration {
  const client = { [openid.clockTolerance]: Math.floor(leewayMs / 1000) }
  const { client_id, client_secret } = source.settings
  const config = new openid.Configuration(
    metadata,
    client_id,
    client,
    authentication(metadata, client_secret),
  )
  if (metadata.issuer.startsWith("http:")) openid.allowInsecureRequests(config)
  // Without it the library trusts an ID token for having come over TLS.
  openid.enableNonRepudiationChecks(config)
  const giveUp = AbortSignal.timeout(EXCHANGE_MS)
  config[openid.customFetch] = async (url, { method, headers, body }) => {
    if (url === metadata.jwks_uri) {
      const keys = await source.keySet(url)
      if (keys === undefined) outage.reason = "its key set cannot be fetched"
      return new Response(keys ?? null, { status: keys === undefined ? 503 : 200, headers: JSON_TYPE })
    }
    const init = { method, headers, ...(body !== undefined && { body: body as BodyInit }) }
    const asked = await askServer(url, init, source.deps, giveUp)
    if (!asked.ok) outage.reason = asked.reason
    else if (asked.status >= 500 || asked.status === 429) outage.reason = `answered with ${asked.status}`
    // Its other fields are of no use; a status without a body cannot be given one.
    if (!asked.ok || asked.status < 200 || asked.text === "") return new Response(null, { status: 503 })
    const type = asked.headers.get("content-type") ?? ""
    return new Response(asked.text, { status: asked.status, headers: { "content-type": type } })
  }
  return config
}

const JSON_TYPE = { "content-type": "application/json" }

function authentication(metadata: openid.ServerMetadata, secret: string | undefined): openid.ClientAuth {
  if (secret === undefined) return openid.None()
  const methods = metadata.token_endpoint_auth_methods_supported ?? []
  // The default of the specification is basic (OpenID Connect Discovery 1.0 section 3).
  const post = methods.includes("client_secret_post") && !methods.includes("client_secret_basic")
  return post ? openid.ClientSecretPost(secret) : openid.ClientSecretBasic(secret)
}

/** What the ID token left out; `undefined`: it is not told. A sign-in does not fail for it. */
async function profileOf(
  config: openid.Configuration,
  accessToken: string,
  subject: string,
): Promise<openid.UserInfoResponse | undefined> {
  try {
    return await openid.fetchUserInfo(config, accessToken, subject)
  } catch (error) {
    if (typeof (error as { code?: unknown }).code === "string") return undefined
    throw error
  }
}

/** OpenID Connect Core 1.0 section 2. */
function isSubject(text: string): boolean {
  return text !== "" && text.length <= MAX_SUBJECT && text.search(UNPRINTABLE) === -1
}

/** Claims as JSON brought them. */
type Told = Readonly<Record<string, unknown>>

/** Address and whether it is verified are of one answer: that about another address proves nothing. */
function minimalClaims(subject: string, name: unknown, told: Told): ProviderClaims {
  const email = typeof told.email === "string" ? normaliseLogin(told.email) : ""
  const verified = told.email_verified === true && isEmail(email)
  const shown = toName(name) ?? toName(told.name)
  return { subject, email: verified ? email : undefined, name: shown }
}

function toName(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined
  const name = value.slice(0, MAX_NAME).replace(UNPRINTABLE, " ").trim()
  return name === "" ? undefined : name
}
