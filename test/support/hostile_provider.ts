import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose"

/** An OpenID provider that lies, sleeps or babbles as a test tells it to. */
export class HostileProvider {
  readonly #server: Bun.Server<undefined>
  readonly #private: CryptoKey
  readonly #jwk: object
  /** Paths asked for, in order. */
  readonly asked: string[] = []
  /** Bodies sent to the token endpoint. */
  readonly redeemed: URLSearchParams[] = []
  /** What takes the place of an answer, by path. */
  readonly instead = new Map<string, () => Response | Promise<Response>>()
  discovery: Readonly<Record<string, unknown>> = {}
  /** Claims that come on top of right ones; `undefined` takes one away. */
  claims: Readonly<Record<string, unknown>> = {}
  /** Makes the ID token of a payload; default: signs it. */
  forge: (payload: JWTPayload) => Promise<string> | string

  private constructor(privateKey: CryptoKey, jwk: object) {
    this.#private = privateKey
    this.#jwk = { ...jwk, kid: "h1", alg: "ES256", use: "sig" }
    this.forge = (payload) => this.sign(payload, this.#private)
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      fetch: (request) => this.#answer(request),
    })
  }

  static async start(): Promise<HostileProvider> {
    const { privateKey, publicKey } = await generateKeyPair("ES256")
    return new HostileProvider(privateKey, await exportJWK(publicKey))
  }

  get issuer(): string {
    return this.#server.url.origin
  }

  sign(payload: JWTPayload, key: CryptoKey | Uint8Array, header: object = {}): Promise<string> {
    return new SignJWT(payload).setProtectedHeader({ alg: "ES256", kid: "h1", ...header }).sign(key)
  }

  /** The answer it would send a browser back with. Its code is the nonce, so it needs no memory. */
  callback(location: string, more: Readonly<Record<string, string>> = {}): string {
    const { searchParams } = new URL(location)
    const url = new URL(searchParams.get("redirect_uri")!)
    url.searchParams.set("code", searchParams.get("nonce")!)
    url.searchParams.set("state", searchParams.get("state")!)
    for (const [name, value] of Object.entries(more)) url.searchParams.set(name, value)
    return url.href
  }

  close(): Promise<void> {
    return this.#server.stop(true)
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url)
    this.asked.push(pathname)
    const instead = this.instead.get(pathname)
    if (instead !== undefined) return instead()
    switch (pathname) {
      case "/.well-known/openid-configuration":
        return Response.json({
          issuer: this.issuer,
          authorization_endpoint: `${this.issuer}/authorize`,
          token_endpoint: `${this.issuer}/token`,
          jwks_uri: `${this.issuer}/keys`,
          id_token_signing_alg_values_supported: ["ES256", "HS256", "none"],
          ...this.discovery,
        })
      case "/keys":
        return Response.json({ keys: [this.#jwk] })
      case "/token": {
        const form = new URLSearchParams(await request.text())
        this.redeemed.push(form)
        const nowS = Math.floor(Date.now() / 1000)
        const right = { iss: this.issuer, aud: "gateway", sub: "ann", iat: nowS, exp: nowS + 300 }
        const id_token = await this.forge({ ...right, nonce: form.get("code")!, ...this.claims })
        return Response.json({ access_token: "at", token_type: "Bearer", id_token })
      }
      default:
        return new Response("no", { status: 404 })
    }
  }
}
