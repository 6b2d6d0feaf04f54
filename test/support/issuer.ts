import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose"

/** How an issuer answers when it is asked for its keys. */
export type IssuerMode =
  | "fine"
  | "down"
  | "silent"
  | "stalled"
  | "garbage"
  | "empty"
  | "not_keys"
  | "huge"
  | "redirect"

export interface IssuerKey {
  readonly kid: string | undefined
  readonly alg: string
  readonly privateKey: CryptoKey
  readonly jwk: JWK
}

/** A new key pair as an issuer has it; `kid` "" stands for a key without a name. */
export async function issuerKey(kid: string, alg = "ES256"): Promise<IssuerKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  const name = kid === "" ? undefined : kid
  const jwk = { ...(await exportJWK(publicKey)), alg, use: "sig", ...(name !== undefined && { kid: name }) }
  return { kid: name, alg, privateKey, jwk }
}

/** An issuer of tokens as a real server on loopback: discovery at its root, keys at /keys. */
export class TestIssuer {
  readonly #server: Bun.Server<undefined>
  /** Its name, also after it has closed. */
  readonly url: string
  /** Paths asked for, in order. */
  readonly asked: string[] = []
  keys: IssuerKey[]
  mode: IssuerMode = "fine"
  cacheControl = "max-age=600"
  /** Members of the discovery document that are to be others. */
  discovery: Readonly<Record<string, unknown>> = {}

  constructor(keys: readonly IssuerKey[]) {
    this.keys = [...keys]
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      fetch: (req) => this.#answer(req),
    })
    this.url = `http://127.0.0.1:${this.#server.port}`
  }

  get jwks(): string {
    return `${this.url}/keys`
  }

  /** How often its keys were asked for. */
  get fetches(): number {
    return this.asked.filter((path) => path === "/keys").length
  }

  /** A token of this issuer for "api"; `claims` come on top, and `undefined` takes one away. */
  async token(
    claims: Readonly<Record<string, unknown>> = {},
    key = this.keys[0]!,
    header: object = {},
  ): Promise<string> {
    const nowS = Math.floor(Date.now() / 1000)
    const payload = { iss: this.url, aud: "api", sub: "ann", iat: nowS, exp: nowS + 300, ...claims }
    return new SignJWT(payload)
      .setProtectedHeader({ alg: key.alg, ...(key.kid !== undefined && { kid: key.kid }), ...header })
      .sign(key.privateKey)
  }

  async close(): Promise<void> {
    await this.#server.stop(true)
  }

  #answer(request: Request): Response | Promise<Response> {
    const { pathname } = new URL(request.url)
    this.asked.push(pathname)
    switch (this.mode) {
      case "down":
        return new Response("no", { status: 500 })
      case "silent":
        return new Promise(() => {})
      case "stalled":
        return new Response(
          new ReadableStream({
            start: (controller) => controller.enqueue(new TextEncoder().encode('{"keys":[')),
          }),
        )
      case "garbage":
        return new Response("<html>maintenance</html>")
      case "empty":
        return Response.json({ keys: [] })
      case "not_keys":
        return Response.json([1, 2, 3])
      case "huge":
        return new Response(`{"keys":[${" ".repeat(10_000_000)}]}`)
      case "redirect":
        return Response.redirect(`${this.url}/elsewhere`)
      case "fine":
        return this.#document(pathname)
    }
  }

  #document(pathname: string): Response {
    if (pathname === "/.well-known/openid-configuration")
      return Response.json({ issuer: this.url, jwks_uri: this.jwks, ...this.discovery })
    const headers = { "cache-control": this.cacheControl }
    return Response.json({ keys: this.keys.map(({ jwk }) => jwk) }, { headers })
  }
}
