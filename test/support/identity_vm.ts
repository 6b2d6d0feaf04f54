import { randomBytes } from "node:crypto"
import { identityRoutes } from "../../src/admin/auth/endpoints.ts"
import { ControlIdentity } from "../../src/cli/identity.ts"
import type { Config } from "../../src/config/schema.ts"
import { Authenticator } from "../../src/identity/authenticator.ts"
import type { IdentityContext } from "../../src/identity/context.ts"
import type { IdentityRequest } from "../../src/identity/messages.ts"
import { hashOfToken } from "../../src/identity/opaque_token.ts"
import { loadOwnKeys } from "../../src/identity/own_keys.ts"
import { PasswordHasher } from "../../src/identity/passwords.ts"
import type { Principal } from "../../src/identity/principal.ts"
import { sweepSessions } from "../../src/identity/session_sweep.ts"
import { signIn } from "../../src/identity/sessions.ts"
import { findUserByLogin } from "../../src/identity/users.ts"
import { FAILURES, type FailureCode } from "../../src/policies/failure.ts"
import { appendAudit } from "../../src/safety/audit.ts"
import type { Store } from "../../src/store/sql.ts"
import { credentials, SECRET } from "./authenticator.ts"
import { exampleConfig } from "./config.ts"
import { NO_LOG, open } from "./store.ts"
import { addUser } from "./user.ts"

export const PASSWORD = "correct horse battery staple"

export interface Sent {
  readonly json?: object
  readonly form?: Readonly<Record<string, string>> | string
  readonly bearer?: string
  readonly basic?: readonly [id: string, secret: string]
  readonly cookie?: string
  readonly client?: string
  readonly scheme?: "http" | "https"
  readonly headers?: Readonly<Record<string, string>>
}

export interface Answered {
  readonly status: number
  /** Code of a failure; "" for answers. */
  readonly code: string
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it
  readonly body: any
  /** All that a client could see, as one text. */
  readonly text: string
}

/** One VM: a control plane and one worker of it, without the sockets between clients and them. */
export class IdentityVm {
  readonly store: Store
  readonly control: ControlIdentity
  readonly counted: string[] = []
  readonly #config: Config
  readonly #worker: Authenticator
  readonly #clock: { wallClock: number }
  /** For signing in directly; it tells nobody of revocations. */
  readonly #context: IdentityContext

  constructor(store: Store, config: Config, clock: { wallClock: number }) {
    this.store = store
    this.#config = config
    this.#clock = clock
    const wallClock = () => clock.wallClock
    const { auth } = config
    if (auth === undefined) throw new Error("a test of identity needs a section auth")
    const keys = loadOwnKeys(auth)
    this.#context = {
      store,
      settings: () => auth,
      keys: () => keys,
      wallClock,
      randomBytes: (count) => randomBytes(count),
      audit: (sql, record) => appendAudit(sql, record, wallClock()),
      revoke: () => Promise.reject(new Error("not by this context")),
      count: () => {},
      log: NO_LOG,
    }
    this.control = new ControlIdentity(config, {
      store,
      wallClock,
      count: (event, outcome) => this.counted.push(`${event} ${outcome}`),
      log: NO_LOG,
    })
    this.#worker = new Authenticator({
      // biome-ignore lint/suspicious/noExplicitAny: the reply fits the question
      ask: (question): Promise<any> => this.control.answer(question),
      now: wallClock,
      wallClock,
      count: () => {},
      report: () => {},
      onRevocationsDropped: () => {},
    })
    this.#worker.apply(config.auth)
    this.control.onChange((change) => this.#worker.update(change))
  }

  async start(): Promise<void> {
    await this.control.open()
    this.#worker.update(this.control.state())
  }

  close(): void {
    this.control.close()
  }

  /** Moves the wall clock of all VMs that share it. */
  pass(ms: number): void {
    this.#clock.wallClock += ms
  }

  get now(): number {
    return this.#clock.wallClock
  }

  /** Whom a worker takes the bearer of the token, or of cookies, for; "" when for nobody. */
  async caller(shown: { bearer?: string; cookie?: string }): Promise<string> {
    return (await this.#principalOf({ ...shown }))?.id ?? ""
  }

  async #principalOf({ bearer, cookie, client, scheme }: Sent): Promise<Principal | undefined> {
    const headers: Record<string, string> = {}
    if (bearer !== undefined) headers.authorization = `Bearer ${bearer}`
    if (cookie !== undefined) headers.cookie = cookie
    const shown = credentials(headers, { client: client ?? "192.0.2.1", scheme: scheme ?? "https" })
    const found = await this.#worker.authenticate(shown)
    return found.kind === "principal" ? found.principal : undefined
  }

  /** Asks an endpoint under the first prefix, as a worker would after its `auth` step. */
  async ask(method: string, path: string, sent: Sent = {}): Promise<Answered> {
    const full = path.startsWith("/.well-known") ? path : `/api/v1${path}`
    const route = identityRoutes(this.#config).find(
      (each) =>
        each.methods.includes(method as never) &&
        new RegExp(`^${each.path.replace(/:\w+/g, "[^/]+")}$`).test(full),
    )
    if (route === undefined) throw new Error(`no endpoint ${method} ${full}`)
    const principal = route.caller ? await this.#principalOf(sent) : undefined
    if (route.caller && principal === undefined) return failed("AUTH_ERROR", undefined, {}, {})
    const answer = await this.control.answer({
      kind: "request",
      request: toRequest(method, full, sent, principal),
    })
    if (answer?.kind === "failure")
      return failed(answer.code, answer.message, answer.details, answer.headers, answer.retryAfterS)
    if (answer?.kind !== "answer") throw new Error("no answer")
    const headers = new Headers()
    for (let i = 0; i < answer.fields.length; i += 2) headers.append(answer.fields[i]!, answer.fields[i + 1]!)
    const text = Buffer.from(answer.body).toString()
    return {
      status: answer.status,
      code: "",
      headers,
      body: text === "" ? undefined : JSON.parse(text),
      text: text + JSON.stringify([...headers]),
    }
  }

  /** A new account; its id. */
  async addUser(login: string, roles: readonly string[] = ["user"]): Promise<string> {
    const passwordHash = await hashOnce()
    const { id } = await addUser(this.store, login, this.now, { passwordHash, roles })
    return id
  }

  async addClient(id: string, secret: string, scopes: readonly string[]): Promise<void> {
    await this.store.run(
      `INSERT INTO clients (id, secret_hash, name, roles, scopes, status, created_at, updated_at)
       VALUES ($1, $2, $1, '[]', $3, 'active', 0, 0)`,
      [id, hashOfToken(secret), JSON.stringify(scopes)],
    )
  }

  /** Tokens of a new sign-in. Without the hashing of a password, which takes longer than all the rest of a test. */
  async logIn(login: string, scope = ""): Promise<{ access_token: string; refresh_token: string }> {
    const user = (await findUserByLogin(this.store, login))!
    const asking = { client: "192.0.2.1", userAgent: "test/1", requestId: "request-0" }
    const signedIn = await this.store.transaction((sql) =>
      signIn(this.#context, sql, user, { asking, kind: "token", method: "password", scope }),
    )
    if (signedIn.kind !== "token") throw new Error("no token")
    return { access_token: signedIn.accessToken, refresh_token: signedIn.refreshToken }
  }

  refresh(token: string): Promise<Answered> {
    return this.ask("POST", "/auth/refresh", { json: { refresh_token: token } })
  }

  /** Deletes what has ended, as happens once a minute. */
  sweep(): Promise<void> {
    return sweepSessions({ store: this.store, wallClock: () => this.now })
  }

  /** Actions of the audit record, with their outcomes, oldest first. */
  async audited(prefix: string): Promise<string[]> {
    const rows = await this.store.all<{ action: string; outcome: string }>(
      "SELECT action, outcome FROM audit_events WHERE action LIKE $1 ORDER BY at, id",
      [`${prefix}%`],
    )
    return rows.map(({ action, outcome }) => `${action} ${outcome}`)
  }
}

let hash: Promise<string> | undefined
const hashOnce = (): Promise<string> => (hash ??= new PasswordHasher().hash(PASSWORD))

function toRequest(
  method: string,
  path: string,
  sent: Sent,
  principal: Principal | undefined,
): IdentityRequest {
  const { json, form, bearer, basic, cookie, headers = {} } = sent
  const fields: string[] = ["user-agent", "test/1"]
  if (bearer !== undefined) fields.push("authorization", `Bearer ${bearer}`)
  if (basic !== undefined)
    fields.push("authorization", `Basic ${Buffer.from(basic.join(":")).toString("base64")}`)
  if (cookie !== undefined) fields.push("cookie", cookie)
  if (json !== undefined) fields.push("content-type", "application/json")
  if (form !== undefined) fields.push("content-type", "application/x-www-form-urlencoded")
  for (const [name, value] of Object.entries(headers)) fields.push(name, value)
  const text =
    json !== undefined
      ? JSON.stringify(json)
      : typeof form === "object"
        ? new URLSearchParams(form).toString()
        : form
  return {
    method,
    path,
    query: "",
    scheme: sent.scheme ?? "https",
    host: "api.example.com",
    client: sent.client ?? "192.0.2.1",
    requestId: "request-1",
    fields,
    body: text === undefined ? undefined : Buffer.from(text),
    principal,
  }
}

function failed(
  code: string,
  message: string | undefined,
  details: object,
  headers: Record<string, string>,
  retryAfterS?: number,
): Answered {
  const all = new Headers(headers)
  if (retryAfterS !== undefined) all.set("retry-after", String(retryAfterS))
  return {
    status: FAILURES[code as FailureCode].status,
    code,
    headers: all,
    body: { message, details },
    text: JSON.stringify({ code, message, details, headers: [...all] }),
  }
}

const vms: IdentityVm[] = []

/** A VM on this store; VMs given the same `clock` share it. Ended by `closeVms`. */
export async function openVm(
  url: string,
  auth: object = {},
  clock: { wallClock: number } = { wallClock: Date.now() },
): Promise<IdentityVm> {
  const config = exampleConfig({ store: url, auth: { secret: SECRET, ...auth }, services: {}, routes: [] })
  const vm = new IdentityVm(await open(url), config, clock)
  vms.push(vm)
  await vm.start()
  return vm
}

/** For `afterEach`, before `closeStores`. */
export function closeVms(): void {
  for (const vm of vms.splice(0)) vm.close()
}
