import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { exportJWK, generateKeyPair, type JWK } from "jose"
import Provider from "oidc-provider"

/** A new signing key of a provider. */
export async function providerKey(kid: string): Promise<JWK> {
  const { privateKey } = await generateKeyPair("RS256", { extractable: true })
  return { ...(await exportJWK(privateKey)), kid, alg: "RS256", use: "sig" }
}

export interface OpenIdProviderOptions {
  /** Default: one that is nobody's. */
  readonly redirectUris?: readonly string[]
  readonly keys: readonly JWK[]
  /** Default: any. */
  readonly port?: number
  /** Whether it says that addresses are verified. */
  readonly emailVerified?: boolean
}

export const CLIENT_ID = "gateway"
export const CLIENT_SECRET = "a-secret-of-the-gateway-at-the-provider"

/** A certified OpenID provider on loopback. Any login and password do; `LOGIN@example.com` is its address. */
export class OpenIdProvider {
  readonly #server: Server
  readonly issuer: string
  #answer: (request: IncomingMessage, response: ServerResponse) => unknown = () => undefined

  private constructor(server: Server) {
    this.#server = server
    this.issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    server.on("request", (request, response) => void this.#answer(request, response))
  }

  static async start(options: OpenIdProviderOptions): Promise<OpenIdProvider> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(options.port ?? 0, "127.0.0.1", resolve))
    const provider = new OpenIdProvider(server)
    provider.restart(options)
    return provider
  }

  get port(): number {
    return Number(new URL(this.issuer).port)
  }

  /** Begins anew with other options, remembering nothing. */
  restart(options: OpenIdProviderOptions): void {
    this.#answer = createProvider(this.issuer, options).callback()
  }

  /** An access token it issues for the API, as a service would get one. */
  async accessToken(): Promise<string> {
    const form = { grant_type: "client_credentials", resource: "urn:api", scope: "read" }
    const response = await fetch(`${this.issuer}/token`, {
      method: "POST",
      headers: { authorization: `Basic ${btoa(`${CLIENT_ID}:${CLIENT_SECRET}`)}` },
      body: new URLSearchParams(form),
    })
    if (!response.ok) throw new Error(`no token: ${await response.text()}`)
    return ((await response.json()) as { access_token: string }).access_token
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

function createProvider(issuer: string, options: OpenIdProviderOptions): Provider {
  return new Provider(issuer, {
    jwks: { keys: [...options.keys] as never },
    cookies: { keys: ["a key for the cookies of tests"] },
    clients: [
      {
        client_id: CLIENT_ID,
        client_secret: CLIENT_SECRET,
        redirect_uris: [...(options.redirectUris ?? ["https://nobody.example/callback"])],
        grant_types: ["authorization_code", "client_credentials"],
        scope: "openid email profile read",
      },
    ],
    scopes: ["openid", "email", "profile", "read"],
    claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({
        sub: id,
        email: `${id}@example.com`,
        email_verified: options.emailVerified ?? true,
        name: `The ${id}`,
      }),
    }),
    features: {
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({
          scope: "read",
          audience: "api",
          accessTokenFormat: "jwt",
          accessTokenTTL: 3600,
          jwt: { sign: { alg: "RS256" } },
        }),
      },
    },
    ttl: {
      AccessToken: 300,
      AuthorizationCode: 60,
      IdToken: 300,
      Interaction: 300,
      Session: 300,
      Grant: 300,
    },
    // The strict way: what a scope asks for is told at the userinfo endpoint only.
    conformIdTokenClaims: true,
  })
}

/** What a person does at the provider's pages: follows them, and fills in its forms. Where it is sent in the end. */
export async function signInAtProvider(start: string, login: string): Promise<string> {
  const { origin } = new URL(start)
  const jar = new Map<string, string>()
  let url = start
  let form: URLSearchParams | undefined
  for (let step = 0; step < 20; step++) {
    const response = await fetch(url, {
      redirect: "manual",
      headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; ") },
      ...(form !== undefined && { method: "POST", body: form }),
    })
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? []
      jar.set(name, value)
    }
    form = undefined
    const location = response.headers.get("location")
    if (location !== null) {
      await response.body?.cancel()
      url = new URL(location, url).href
      if (new URL(url).origin !== origin) return url
      continue
    }
    const page = await response.text()
    const action = /<form[^>]* action="([^"]+)"/.exec(page)?.[1]
    if (action === undefined) throw new Error(`no form in ${response.status} ${page.slice(0, 500)}`)
    url = new URL(action, url).href
    const prompt = /name="prompt" value="(\w+)"/.exec(page)?.[1] ?? ""
    form = new URLSearchParams({ prompt, login, password: "any" })
  }
  throw new Error("the provider sends one in circles")
}
