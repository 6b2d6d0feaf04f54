import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Value } from "typebox/value"
import { parseConfig } from "../../src/config/load.ts"
import { ConfigSchema } from "../../src/config/schema.ts"
import { SECRET, TestAuthenticator } from "./authenticator.ts"
import { type ServedGateway, serveGateway } from "./gateway.ts"

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
  const text = readExample(name)
  const arrivals: Arrived[] = []
  const replies = new Map<string, (request: Request) => Response | Promise<Response>>()
  const services = new Map<string, ReturnType<typeof startEcho>>()
  const env: Record<string, string> = { SECRET_KEY: SECRET }

  function startEcho(instance: string) {
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

  for (const [, variable = ""] of text.matchAll(ADDRESS)) {
    const service = startEcho(variable)
    services.set(variable, service)
    env[variable] = `http://127.0.0.1:${service.port}`
  }
  const loaded = parseConfig(text, "yaml", env)
  if (!loaded.ok) throw new Error(`${name}: ${loaded.problems.map((each) => each.message).join("; ")}`)
  const { config } = loaded
  const worker = new TestAuthenticator()
  worker.it.apply(config.auth)
  const gateway = serveGateway(Value.Encode(ConfigSchema, structuredClone(config)) as object, {
    identity: worker.it,
  })

  return {
    gateway,
    async call(method, path, init = {}) {
      const before = arrivals.length
      const response = await fetch(`${gateway.url}${path}`, { method, ...init, redirect: "manual" })
      return { response, body: await response.text(), arrived: arrivals.slice(before).at(-1) }
    },
    answer: (instance, reply) => void replies.set(instance, reply),
    stop: (instance) => services.get(instance)!.stop(true),
    close() {
      gateway.close()
      for (const service of services.values()) void service.stop(true)
    },
  }
}
