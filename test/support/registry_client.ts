import { join } from "node:path"
import { runCommand } from "../../src/cli/command.ts"
import { ADMIN_TOKEN, type GatewayProcess } from "./gateway_process.ts"

/** What a command said. */
export interface Said {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs a command of the CLI in this process. */
export async function cli(...args: readonly string[]): Promise<Said> {
  let out = ""
  let err = ""
  const code = await runCommand(args, { out: (text) => (out += text), err: (text) => (err += text) })
  return { code, out, err }
}

/** Runs a command that asks a running gateway. */
export function cliOf(gateway: GatewayProcess, ...args: readonly string[]): Promise<Said> {
  return cli(...args, "--admin", `http://127.0.0.1:${gateway.adminPort}`, "--token", ADMIN_TOKEN)
}

/** An access token with these scopes, signed with the key of the gateway's config. */
export async function tokenFor(gateway: GatewayProcess, scope: string): Promise<string> {
  const file = join(gateway.directory, "gatehouse.json")
  return (await cli("token", "--sub", "a-service", "--scope", scope, "-c", file)).out.trim()
}

export interface RegistryAnswer {
  readonly status: number
  readonly code: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it
  readonly body: any
}

/** Asks the registry on the port of clients. `path`: below /api/v1/registry. */
export async function askRegistry(
  gateway: GatewayProcess,
  token: string,
  method: string,
  path: string,
  body?: object | string,
): Promise<RegistryAnswer> {
  const response = await fetch(`${gateway.url}/api/v1/registry${path}`, {
    method,
    headers: {
      ...(token !== "" && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { "content-type": "application/json" }),
    },
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  })
  const read = await response.json()
  return { status: response.status, code: read.error?.code ?? "", body: read }
}

export interface StreamEvent {
  readonly event: string
  readonly id: string
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it
  readonly data: any
}

/** Reads server-sent events as they come. */
export class EventReader {
  readonly events: StreamEvent[] = []
  readonly status: number
  /** When the stream has ended, by whomever. */
  readonly ended: Promise<void>
  readonly #cancel: () => void

  private constructor(response: Response, cancel: () => void) {
    this.status = response.status
    this.#cancel = cancel
    this.ended = this.#read(response)
  }

  static async open(
    url: string,
    token: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<EventReader> {
    const aborter = new AbortController()
    const response = await fetch(url, {
      headers: { authorization: `Bearer ${token}`, ...headers },
      signal: aborter.signal,
    })
    return new EventReader(response, () => aborter.abort())
  }

  close(): void {
    this.#cancel()
  }

  async #read(response: Response): Promise<void> {
    const decoder = new TextDecoder()
    let rest = ""
    try {
      for await (const chunk of response.body!) {
        const blocks = (rest + decoder.decode(chunk, { stream: true })).split("\n\n")
        rest = blocks.pop()!
        for (const block of blocks) this.#take(block)
      }
    } catch {
      // Closed by the test, or with the gateway.
    }
  }

  #take(block: string): void {
    const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1] ?? ""
    if (field("event") === "") return
    this.events.push({ event: field("event"), id: field("id"), data: JSON.parse(field("data")) })
  }
}
