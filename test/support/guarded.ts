import { generateKeyPairSync } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { importPem, type SigningKey } from "../../src/identity/keys.ts"
import { SECRET } from "./authenticator.ts"
import { forge } from "./forge.ts"
import { type GatewayProcess, startGateway } from "./gateway_process.ts"
import { openClient, type RawResponse, talk } from "./raw_client.ts"
import { RawUpstream } from "./raw_upstream.ts"
import { parseRequests, type ReceivedRequest } from "./received.ts"
import { FIRST_PAIR } from "./server_pairs.ts"
import { startWsService } from "./ws_service.ts"

const OK = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok"
const PASSWORD = "a waltz of 3 otters"
const HOST = "Host: a.example\r\n"
const CONNECTIONS = 8

/** Somebody with an account. */
export interface Account {
  readonly id: string
  readonly access: string
  readonly refresh: string
}

/** A gateway process over TLS, HTTP/1.1 and HTTP/2, with doors that are shut, before services that note what comes. */
export interface Guarded {
  readonly gateway: GatewayProcess
  /** PEM text of the public half of the key it signs with, whose id is "own". */
  readonly publicKey: string
  /** A person with the role user. */
  readonly ann: Account
  /** Another one. */
  readonly bob: Account
  /** Sends one request as these bytes: request line, Host, these field lines, body. */
  ask(target: string, fields?: string, method?: string, body?: string): Promise<RawResponse>
  /** Sends these requests over eight connections, on each one after another; the statuses in order. */
  askMany(requests: readonly string[]): Promise<number[]>
  /** Heads of the requests the services got so far, in order. */
  received(): readonly ReceivedRequest[]
  /** WebSocket handshakes they got. */
  handshakes(): number
  /** An access token of the administrator "root", signed as told; `undefined` takes a claim or header away. */
  mint(claims?: object, header?: object, key?: Pick<SigningKey, "sign">): string
  /** Signs in once more. */
  logIn(account: "ann" | "bob"): Promise<Account>
  /** Signs ann in by cookie: name=value, and the token against CSRF. */
  cookieOfAnn(): Promise<{ cookie: string; csrf: string }>
  close(): void
}

export const bearer = (token: string): string => `Authorization: Bearer ${token}\r\n`

/** Starts it; `endGateways` ends the process, `close` the rest. */
export async function startGuarded(): Promise<Guarded> {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-guarded-"))
  const write = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text)
    return join(directory, name)
  }
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const pem = pair.privateKey.export({ type: "pkcs8", format: "pem" }) as string
  const own = importPem(pem, "ES256", "own")
  if (!own.ok || own.sign === undefined) throw new Error("no signing key")
  const signing = own.sign
  const arrived: ReceivedRequest[] = []
  const upstream = new RawUpstream((connection, head) => {
    arrived.push(...parseRequests(head))
    connection.write(OK)
  })
  const ws = startWsService()
  const gateway = await startGateway({
    server: {
      http2: true,
      tls: { cert: write("server.crt", FIRST_PAIR.cert), key: write("server.key", FIRST_PAIR.key) },
    },
    store: `sqlite:${join(directory, "gatehouse.db")}`,
    auth: {
      secret: SECRET,
      keys: [{ kid: "own", alg: "ES256", file: write("own.pem", pem) }],
      registration: { enabled: true },
    },
    services: {
      s: { instances: [upstream.url], ejection: { max_percent: 0 } },
      // Named as the audience of access tokens: the worst name for a service that is told callers by a token.
      api: { instances: [upstream.url], ejection: { max_percent: 0 } },
      ws: { instances: [`http://127.0.0.1:${ws.port}`] },
    },
    defaults: { access_log: {} },
    routes: [
      { path: "/admin/*", service: "s", auth: { roles: ["admin"] } },
      { path: "/users/{id}/*", service: "s", auth: { owner: "path.id == principal.id" } },
      { path: "/public/*", service: "s", auth: { required: false } },
      { path: "/told/*", service: "api", auth: { forward: "jwt" } },
      { path: "/ws/*", service: "ws", websocket: "relay" },
    ],
  })
  const { port } = gateway

  async function ask(target: string, fields = "", method = "GET", body = ""): Promise<RawResponse> {
    const length = body === "" ? "" : `Content-Length: ${body.length}\r\n`
    const bytes = `${method} ${target} HTTP/1.1\r\n${HOST}${fields}${length}\r\n${body}`
    const [response] = await talk(port, bytes, 1, { tls: true, methods: [method] })
    if (response === undefined) throw new Error("the connection was closed without an answer")
    return response
  }

  // biome-ignore lint/suspicious/noExplicitAny: answers of all shapes
  async function post(path: string, body: object): Promise<any> {
    const json = "Content-Type: application/json\r\n"
    const response = await ask(`/api/v1/auth/${path}`, json, "POST", JSON.stringify(body))
    if (response.status >= 300) throw new Error(`${path}: ${response.status} ${response.body}`)
    return { ...JSON.parse(response.body), cookies: response.all("set-cookie") }
  }
  const credentials = (name: string) => ({ email: `${name}@example.com`, password: PASSWORD })

  async function logIn(name: string): Promise<Account> {
    const { access_token: access, refresh_token: refresh } = await post("login", credentials(name))
    const { sub } = JSON.parse(Buffer.from(access.split(".")[1], "base64url").toString())
    return { id: sub, access, refresh }
  }
  for (const name of ["ann", "bob"]) await post("register", credentials(name))
  const [ann, bob] = [await logIn("ann"), await logIn("bob")]

  return {
    gateway,
    publicKey: pair.publicKey.export({ type: "spki", format: "pem" }) as string,
    ann,
    bob,
    ask,
    logIn,
    async askMany(requests) {
      const statuses: number[] = []
      const ask = async (first: number) => {
        const client = await openClient(port, { tls: true })
        for (let i = first, count = 1; i < requests.length; i += CONNECTIONS, count++)
          statuses[i] = (await client.send(requests[i]!).responses(count))[count - 1]!.status
        client.reset()
      }
      await Promise.all(Array.from({ length: CONNECTIONS }, (_, first) => ask(first)))
      return statuses
    },
    received: () => arrived,
    handshakes: () => ws.handshakes.length,
    mint(claims = {}, header = {}, key = signing) {
      const at = Math.floor(Date.now() / 1000)
      const who = { sub: "root", roles: ["admin"], scope: "read write admin", tier: "free" }
      const payload = {
        iss: "gatehouse",
        aud: "api",
        iat: at,
        exp: at + 300,
        jti: crypto.randomUUID(),
        ...who,
      }
      return forge(
        JSON.stringify({ alg: "ES256", typ: "at+jwt", kid: "own", ...header }),
        JSON.stringify({ ...payload, ...claims }),
        key,
      )
    },
    async cookieOfAnn() {
      const { cookies } = await post("login", { ...credentials("ann"), session: "cookie" })
      const pairs = (cookies as string[]).map((each) => each.split(";", 1)[0]!)
      return {
        cookie: pairs.find((each) => each.startsWith("__Host-"))!,
        csrf: pairs.find((each) => each.startsWith("gh_csrf="))!.slice(8),
      }
    },
    close() {
      upstream.stop()
      ws.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
