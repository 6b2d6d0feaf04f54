import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Value } from "typebox/value"
import { createBuiltins } from "../../src/admin/public.ts"
import { ControlIdentity } from "../../src/cli/identity.ts"
import { parseConfig } from "../../src/config/load.ts"
import { type Config, ConfigSchema } from "../../src/config/schema.ts"
import type { ControlQuestion } from "../../src/gateway/control_question.ts"
import type { Identity } from "../../src/identity/authenticated.ts"
import { Authenticator } from "../../src/identity/authenticator.ts"
import type { IdentityContext } from "../../src/identity/context.ts"
import type { Question } from "../../src/identity/messages.ts"
import { PasswordHasher } from "../../src/identity/passwords.ts"
import { SECRET, TestAuthenticator } from "./authenticator.ts"
import { type ServedGateway, serveGateway } from "./gateway.ts"
import { NO_LOG, open } from "./store.ts"
import { addUser } from "./user.ts"

/** A request as a service of an example got it. */
export interface Arrived {
  /** Variable of the environment that names the service's address, e.g. `PLAYERS_1`. */
  readonly instance: string
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

export interface RunningExample {
  readonly gateway: ServedGateway
  /** Sends a request; `arrived` is what a service got of it, `undefined` when none got it. */
  call(
    method: string,
    path: string,
    init?: { headers?: Record<string, string>; body?: string },
  ): Promise<{ response: Response; body: string; arrived: Arrived | undefined }>
  /** What an instance answers from now on; its answer is 200 with what it got, unless told otherwise. */
  answer(instance: string, reply: (request: Request) => Response | Promise<Response>): void
  /** Takes an instance down: its port is closed. */
  stop(instance: string): Promise<void>
  close(): void
}

/** An example together with the endpoints for accounts and sign-in. */
export interface RunningExampleWithAccounts extends RunningExample {
  /** As `call` with a body of JSON, over the proxy that has ended TLS; the answer's status and body. */
  ask(
    method: string,
    path: string,
    sent?: { body?: object; token?: string; headers?: Record<string, string> },
    // biome-ignore lint/suspicious/noExplicitAny: answers of all shapes
  ): Promise<{ status: number; body: any; headers: Headers; arrived: Arrived | undefined }>
  /** What operators act through. */
  readonly context: IdentityContext
  /** An account as an operator would make it, with the password `PASSWORD`; its id. */
  addUser(login: string, roles: readonly string[]): Promise<string>
}

/** Of accounts the tests make. */
export const PASSWORD = "a waltz of 3 otters"

type Reply = (request: Request) => Response | Promise<Response>
type Environment = Readonly<Record<string, string>>

const ADDRESS = /\$\{([A-Z0-9_]+):-http:\/\/[^}]*\}/g

/** Text of a file in examples/. */
export function readExample(name: string): string {
  return readFileSync(join(import.meta.dir, "../../examples", name), "utf8")
}

/**
 * An example behind the Serve door, with an echo service at each address it takes from the environment. It takes
 * tokens made by `accessToken`.
 */
export function runExample(name: string): RunningExample {
  const services = new EchoServices(name)
  const config = load(name, services.env)
  const worker = new TestAuthenticator()
  worker.it.apply(config.auth)
  return run(services, config, worker.it)
}

/** The same with accounts in a store of its own, in memory. `env`: on top of the addresses and a SECRET_KEY. */
export async function runExampleWithAccounts(
  name: string,
  env: Environment = {},
): Promise<RunningExampleWithAccounts> {
  const services = new EchoServices(name)
  const config = load(name, { ...services.env, STORE_URL: "sqlite::memory:", ...env })
  const store = await open("sqlite::memory:")
  const control = new ControlIdentity(config, {
    store,
    wallClock: Date.now,
    count: () => undefined,
    log: NO_LOG,
  })
  // biome-ignore lint/suspicious/noExplicitAny: the reply fits the question
  const ask = (question: ControlQuestion): Promise<any> => control.answer(question as Question)
  const worker = new Authenticator({
    ask,
    now: () => performance.now(),
    wallClock: Date.now,
    count: () => undefined,
    report: () => undefined,
    onRevocationsDropped: () => undefined,
  })
  worker.apply(config.auth)
  control.onChange((change) => worker.update(change))
  await control.open()
  worker.update(control.state())
  const builtins = createBuiltins({
    version: "1",
    wallClock: Date.now,
    ready: () => true,
    config: () => config,
    services: () => [],
    ask,
  })
  const running = run(services, config, worker, builtins)
  return {
    ...running,
    context: control.context!,
    async ask(method, path, { body, token, headers } = {}) {
      const { response, arrived, ...text } = await running.call(method, path, {
        headers: {
          "x-forwarded-proto": "https",
          ...(body !== undefined && { "content-type": "application/json" }),
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...headers,
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      })
      const read = text.body === "" ? undefined : JSON.parse(text.body)
      return { status: response.status, body: read, headers: response.headers, arrived }
    },
    async addUser(login, roles) {
      const passwordHash = await new PasswordHasher().hash(PASSWORD)
      const tier = config.auth!.tiers[0]!
      const { id } = await addUser(store, login, Date.now(), { passwordHash, roles, tier })
      return id
    },
    close() {
      running.close()
      control.close()
      void store.close()
    },
  }
}

function load(name: string, env: Environment): Config {
  const loaded = parseConfig(readExample(name), "yaml", { SECRET_KEY: SECRET, ...env })
  if (!loaded.ok) throw new Error(`${name}: ${loaded.problems.map((each) => each.message).join("; ")}`)
  return loaded.config
}

/** A service that echoes at each address an example takes from the environment. */
class EchoServices {
  readonly arrivals: Arrived[] = []
  readonly replies = new Map<string, Reply>()
  readonly servers = new Map<string, Bun.Server<undefined>>()
  readonly env: Record<string, string> = {}

  constructor(name: string) {
    for (const [, variable = ""] of readExample(name).matchAll(ADDRESS)) {
      const server = this.#start(variable)
      this.servers.set(variable, server)
      this.env[variable] = `http://127.0.0.1:${server.port}`
    }
  }

  #start(instance: string): Bun.Server<undefined> {
    const { arrivals, replies } = this
    return Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      development: false,
      async fetch(request, server) {
        const { pathname, search } = new URL(request.url)
        const headers = Object.fromEntries(request.headers.entries())
        const arrived = { instance, method: request.method, path: pathname + search, headers }
        arrivals.push(arrived)
        if (request.headers.has("upgrade") && server.upgrade(request)) return undefined
        await request.bytes()
        return (await replies.get(instance)?.(request)) ?? Response.json(arrived)
      },
      websocket: { message: (socket, message) => void socket.send(message) },
    })
  }
}

function run(
  { arrivals, replies, servers }: EchoServices,
  config: Config,
  identity: Identity,
  builtins?: ReturnType<typeof createBuiltins>,
): RunningExample {
  const file = Value.Encode(ConfigSchema, structuredClone(config)) as object
  const gateway = serveGateway(file, { identity, ...(builtins && { builtins }) })
  return {
    gateway,
    async call(method, path, init = {}) {
      const before = arrivals.length
      const response = await fetch(`${gateway.url}${path}`, { method, ...init, redirect: "manual" })
      return { response, body: await response.text(), arrived: arrivals.slice(before).at(-1) }
    },
    answer: (instance, reply) => void replies.set(instance, reply),
    stop: (instance) => servers.get(instance)!.stop(true),
    close() {
      gateway.close()
      for (const server of servers.values()) void server.stop(true)
    },
  }
}
