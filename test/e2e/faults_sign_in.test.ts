import { afterEach, beforeAll, expect, test } from "bun:test"
import { PasswordHasher } from "../../src/identity/passwords.ts"
import { SECRET } from "../support/authenticator.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { lastTaken, WITHIN_MS } from "../support/last_taken.ts"
import { sharedPostgres } from "../support/postgres.ts"
import { closeStores, open } from "../support/store.ts"
import { sqliteUrl } from "../support/store_urls.ts"
import { addUser } from "../support/user.ts"

const PASSWORD = "correct horse battery staple"
let passwordHash: string

beforeAll(async () => {
  passwordHash = await new PasswordHasher().hash(PASSWORD)
  await sharedPostgres()
}, 30_000)

afterEach(async () => {
  await endGateways()
  await closeStores()
})

const config = (store: string) => ({
  store,
  auth: { secret: SECRET, https: "off" },
  services: { none: { instances: ["http://127.0.0.1:1"] } },
  routes: [{ path: "/none", service: "none" }],
})

const addAnn = async (url: string) => addUser(await open(url), "ann", Date.now(), { passwordHash })

interface Tokens {
  readonly access_token: string
  readonly refresh_token: string
}

async function logIn({ url }: GatewayProcess): Promise<Tokens> {
  const body = new URLSearchParams({ grant_type: "password", username: "ann", password: PASSWORD })
  const response = await fetch(`${url}/api/v1/auth/token`, { method: "POST", body })
  expect(response.status).toBe(200)
  return response.json() as Promise<Tokens>
}

const refresh = ({ url }: GatewayProcess, token: string): Promise<Response> =>
  fetch(`${url}/api/v1/auth/refresh`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ refresh_token: token }),
  })

const me = async ({ url }: GatewayProcess, token: string): Promise<number> =>
  (await fetch(`${url}/api/v1/users/me`, { headers: { authorization: `Bearer ${token}` } })).status

test("[T-4.3] a gateway killed amid refreshes has lost no token a client was given", async () => {
  const store = sqliteUrl()
  await addAnn(store)
  await closeStores()
  let token: string | undefined
  for (let round = 0; round < 2; round++) {
    const gateway = await startGateway(config(store))
    token ??= (await logIn(gateway)).refresh_token
    let acknowledged = 0
    for (;;) {
      // The kill strikes while an answer is under way: after ten were given.
      if (acknowledged === 10) gateway.signal("SIGKILL")
      let answer: Response
      try {
        answer = await refresh(gateway, token)
        token = ((await answer.json()) as Tokens).refresh_token
      } catch {
        // Killed: what this request would have given was never acknowledged.
        break
      }
      expect(answer.status).toBe(200)
      acknowledged++
    }
    expect(acknowledged).toBeGreaterThanOrEqual(10)
    await gateway.exited
  }
  const last = await startGateway(config(store))
  expect((await refresh(last, token!)).status).toBe(200)
}, 60_000)

test("[F-54] [V-sec.2 C-2.9] two gateways on one PostgreSQL give one successor, and a logout at one holds at the other", async () => {
  const store = await (await sharedPostgres()).createDatabase()
  await addAnn(store)
  const [one, two] = await Promise.all([startGateway(config(store)), startGateway(config(store))])
  const signedIn = await logIn(one)
  const answers = await Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      const response = await refresh(i % 2 === 0 ? one : two, signedIn.refresh_token)
      return { status: response.status, body: (await response.json()) as Tokens }
    }),
  )
  expect(answers.map(({ status }) => status)).toEqual(Array(50).fill(200))
  expect(new Set(answers.map(({ body }) => body.refresh_token)).size).toBe(1)
  const { access_token, refresh_token } = answers[0]!.body
  // Every worker of the other one has seen the token.
  for (let i = 0; i < 8; i++) expect(await me(two, access_token)).toBe(200)
  const logout = await fetch(`${one.url}/api/v1/auth/logout`, {
    method: "POST",
    headers: { authorization: `Bearer ${access_token}` },
  })
  const since = performance.now()
  expect(logout.status).toBe(200)
  expect(await lastTaken(async () => (await me(two, access_token)) !== 401, since)).toBeLessThan(WITHIN_MS)
  expect(await me(one, access_token)).toBe(401)
  expect((await refresh(two, refresh_token)).status).toBe(401)
}, 60_000)

test("[C-2.7 V-auth.6 C-2.9] a browser signs in, is listed, and is forgotten after its logout", async () => {
  const store = sqliteUrl()
  await addAnn(store)
  const { url } = await startGateway(config(store))
  const login = await fetch(`${url}/api/v1/auth/login`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ login: "ann", password: PASSWORD, session: "cookie" }),
  })
  expect(login.status).toBe(200)
  const cookies = login.headers.getSetCookie()
  expect(cookies.map((each) => each.split("=")[0])).toEqual(["gh_session", "gh_csrf"])
  const cookie = cookies.map((each) => each.split(";")[0]).join("; ")
  const csrf = /gh_csrf=([^;]+)/.exec(cookie)![1]!
  const ask = (method: string, path: string, headers: Record<string, string> = {}) =>
    fetch(`${url}/api/v1${path}`, { method, headers: { cookie, ...headers } })
  const listed = (await (await ask("GET", "/auth/sessions")).json()) as { sessions: object[] }
  expect(listed.sessions).toEqual([
    expect.objectContaining({ kind: "cookie", current: true, ip: "127.0.0.1" }),
  ])
  const forged = await ask("POST", "/auth/logout")
  expect(forged.status).toBe(403)
  const logout = await ask("POST", "/auth/logout", { "x-csrf-token": csrf })
  expect(logout.status).toBe(200)
  expect(logout.headers.getSetCookie().every((each) => each.includes("Max-Age=0"))).toBe(true)
  // By whichever worker answers.
  for (let i = 0; i < 8; i++)
    expect((await ask("GET", "/users/me", { connection: "close" })).status).toBe(401)
}, 60_000)
