import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import type { JWK } from "jose"
import type { Page } from "puppeteer-core"
import { startBrowser, type TestBrowser } from "../support/browser.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { CLIENT_ID, CLIENT_SECRET, OpenIdProvider, providerKey } from "../support/oidc_provider.ts"
import { Pki } from "../support/pki.ts"

setDefaultTimeout(30_000)

const pki = new Pki()
const certificate = pki.leaf("gateway", { names: "IP:127.0.0.1" })
let chromium: TestBrowser
let key: JWK
let saved = 0
const service = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  development: false,
  fetch(request, server) {
    if (server.upgrade(request)) return undefined
    if (request.method === "POST") saved++
    const name = request.headers.get("x-user-id") ?? "nobody"
    return new Response(`<h1 id=who>${name}</h1>`, { headers: { "content-type": "text/html" } })
  },
  websocket: { message() {} },
})

beforeAll(async () => {
  chromium = await startBrowser()
  key = await providerKey("k1")
})
afterEach(() => endGateways())
afterAll(async () => {
  await chromium.close()
  pki.remove()
  await service.stop(true)
})

async function start(
  session: object = {},
): Promise<{ provider: OpenIdProvider; gateway: GatewayProcess; origin: string }> {
  const provider = await OpenIdProvider.start({ keys: [key] })
  const gateway = await startGateway({
    server: { tls: { cert: certificate.certFile, key: certificate.keyFile } },
    store: "sqlite:./accounts.db",
    auth: {
      session,
      secret: "k3J9-aZ81-pQw7-LmN2-xYt5-Vb60-Rs4e",
      providers: {
        corp: { issuer: provider.issuer, client_id: CLIENT_ID, client_secret: CLIENT_SECRET },
      },
    },
    services: { pages: { instances: [service.url.origin] } },
    routes: [
      { path: "/app/*", service: "pages" },
      { path: "/live", service: "pages", websocket: "relay" },
    ],
  })
  const origin = `https://127.0.0.1:${gateway.port}`
  const redirectUris = [`${origin}/api/v1/auth/providers/corp/callback`]
  provider.restart({ redirectUris, keys: [key] })
  return { provider, gateway, origin }
}

/** Status of a request that a page makes itself. */
function ask(page: Page, method: string, path: string, csrf = ""): Promise<number> {
  return page.evaluate(
    async (method, path, csrf) => {
      const headers: Record<string, string> = csrf === "" ? {} : { "x-csrf-token": csrf }
      return (await fetch(path, { method, headers })).status
    },
    method,
    path,
    csrf,
  )
}

/** Whether a page can open a WebSocket. */
function opens(page: Page, url: string): Promise<boolean> {
  return page.evaluate(
    (url) =>
      new Promise<boolean>((resolve) => {
        const socket = new WebSocket(url)
        socket.onopen = () => resolve(true)
        socket.onerror = () => resolve(false)
      }),
    url,
  )
}

/** Signs in as a person does, at the pages of the provider, and comes back. */
async function signIn(page: Page, origin: string, provider: OpenIdProvider): Promise<void> {
  await page.goto(`${origin}/api/v1/auth/providers/corp/start?return_to=/app/page%3Fa=1`)
  expect(page.url()).toStartWith(provider.issuer)
  await page.type("input[name=login]", "ann")
  await page.type("input[name=password]", "any")
  await Promise.all([page.waitForNavigation(), page.click("button[type=submit]")])
  await Promise.all([page.waitForSelector("#who"), page.click("button[type=submit]")])
}

test("[T-4.5, V-auth.2, F-61] a browser signs in with a provider, works behind the gateway, and logs out", async () => {
  const { provider, origin } = await start()
  const page = await chromium.browser.newPage()
  const refused = await page.goto(`${origin}/app/page`)
  expect(refused?.status()).toBe(401)

  await signIn(page, origin, provider)
  expect(page.url()).toBe(`${origin}/app/page?a=1`)
  expect(await page.$eval("#who", (each) => each.textContent)).toMatch(/^[0-9a-f-]{32,36}$/)

  const cookies = await chromium.browser.cookies()
  const session = cookies.find(({ name }) => name === "__Host-gh_session")
  expect(session).toMatchObject({ httpOnly: true, secure: true, sameSite: "Lax", path: "/" })
  expect(cookies.filter(({ name }) => name.includes("gh_sign_in"))).toEqual([])
  const csrf = await page.evaluate(() => /gh_csrf=([^;]+)/.exec(document.cookie)?.[1] ?? "")
  expect(await page.evaluate(() => document.cookie)).not.toContain("gh_session")

  expect(await ask(page, "POST", "/app/save")).toBe(403)
  expect(saved).toBe(0)
  expect(await ask(page, "POST", "/app/save", csrf)).toBe(200)
  expect(saved).toBe(1)
  const live = origin.replace("https:", "wss:")
  expect(await opens(page, `${live}/live`)).toBe(true)
  const foreign = await chromium.browser.newPage()
  await foreign.goto(`${provider.issuer}/.well-known/openid-configuration`)
  expect(await opens(foreign, `${live}/live`)).toBe(false)

  expect(await ask(page, "POST", "/api/v1/auth/logout", csrf)).toBe(200)
  expect((await page.goto(`${origin}/app/page`))?.status()).toBe(401)
  expect((await chromium.browser.cookies()).filter(({ name }) => name.includes("gh_session"))).toEqual([])
  await provider.close()
})

test("a browser that keeps the session cookie to this site (`same_site: strict`) is signed in at once too", async () => {
  const { provider, origin } = await start({ same_site: "strict" })
  const context = await chromium.browser.createBrowserContext()
  const page = await context.newPage()
  await signIn(page, origin, provider)
  expect(page.url()).toBe(`${origin}/app/page?a=1`)
  const session = (await context.cookies()).find(({ name }) => name === "__Host-gh_session")
  expect(session).toMatchObject({ sameSite: "Strict" })
  await context.close()
  await provider.close()
})
