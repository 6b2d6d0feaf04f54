import { createIdentityApp } from "../../src/admin/auth/app.ts"
import { providerRoutes } from "../../src/admin/auth/provider_routes.ts"
import type { IdentityContext } from "../../src/identity/context.ts"
import type { IdentityAnswer } from "../../src/identity/messages.ts"
import type { ProviderDeps } from "../../src/identity/provider_source.ts"
import { Providers } from "../../src/identity/providers.ts"
import { isLinkLocal } from "../../src/upstream/link_local.ts"
import { lookUpName } from "../../src/upstream/resolved_address.ts"
import { memoryLog } from "./memory_log.ts"

export type ProviderApp = ReturnType<typeof createProviderApp>

/** The endpoints of sign-in with a provider, with a clock that a test moves (`clock.now`, monotonic ms). */
export function createProviderApp(context: IdentityContext, deps: Partial<ProviderDeps> = {}) {
  const clock = { now: 0 }
  const log = memoryLog()
  const providers = new Providers(context, {
    fetch: (url, init) => fetch(url, init),
    lookUp: lookUpName,
    isRefused: isLinkLocal,
    now: () => clock.now,
    log,
    ...deps,
  })
  const { settings } = context
  const answer = createIdentityApp([providerRoutes(context, providers)], { settings, log })
  return { clock, log, answer }
}

export interface Page {
  readonly status: number
  /** Code of a failure; "" for an answer. */
  readonly code: string
  readonly location: string
  readonly retryAfterS: number | undefined
  readonly setCookies: readonly string[]
  /** All that can be seen of it. */
  readonly text: string
}

/** A browser at the gateway: it keeps cookies, and sends those of the scheme it uses. */
export class Visitor {
  readonly cookies = new Map<string, string>()
  readonly #app: ProviderApp
  /** Where it finds the gateway. */
  origin = "https://gate.example"

  constructor(app: ProviderApp) {
    this.#app = app
  }

  /** `target`: a path with query, or an address whose origin does not count. */
  async get(target: string, host?: string): Promise<Page> {
    const url = new URL(target, this.origin)
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ")
    const answer = await this.#app.answer({
      method: "GET",
      path: url.pathname,
      query: url.search.slice(1),
      scheme: this.origin.startsWith("https:") ? "https" : "http",
      host: host ?? url.host,
      client: "192.0.2.1",
      requestId: "r1",
      fields: ["user-agent", "test/1", ...(cookie === "" ? [] : ["cookie", cookie])],
      body: undefined,
      principal: undefined,
    })
    const page = toPage(answer)
    for (const each of page.setCookies) this.#keep(each)
    return page
  }

  /** Begins a sign-in; where it is sent. */
  async start(provider: string, returnTo = "/home"): Promise<string> {
    const page = await this.get(
      `/api/v1/auth/providers/${provider}/start?return_to=${encodeURIComponent(returnTo)}`,
    )
    if (page.status !== 302) throw new Error(`no start: ${page.text}`)
    return page.location
  }

  #keep(setCookie: string): void {
    const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(setCookie) ?? []
    if (setCookie.includes("Max-Age=0")) this.cookies.delete(name)
    else this.cookies.set(name, value)
  }
}

function toPage(answer: IdentityAnswer): Page {
  const text = JSON.stringify(answer)
  if (answer.kind === "failure") {
    const { code, retryAfterS } = answer
    return { status: 0, code, location: "", retryAfterS, setCookies: [], text }
  }
  const { status, fields } = answer
  const all = (name: string) => fields.filter((_, i) => i % 2 === 1 && fields[i - 1] === name)
  const written = text + Buffer.from(answer.body).toString()
  return {
    status,
    code: "",
    location: all("location")[0] ?? "",
    retryAfterS: undefined,
    setCookies: all("set-cookie"),
    text: written,
  }
}
