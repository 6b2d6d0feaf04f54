import { CONFIG_FLAG, type Flags } from "./args.ts"
import { describeFindings, findConfigFile, loadFrom, sourceName } from "./config_source.ts"
import { EXIT, type Output } from "./output.ts"

/** Flags of every command that asks a running gateway. */
export const ADMIN_FLAGS = {
  ...CONFIG_FLAG,
  admin: { type: "string" },
  token: { type: "string" },
} as const satisfies Flags

/** Longest wait for an answer. */
const PATIENCE_MS = 10_000

/** Where the admin API is, and what opens it. */
export interface AdminAccess {
  readonly url: string
  readonly token: string
}

/** A command that could not do what it was asked, told already; the exit code. */
export interface Failed {
  readonly failed: number
}

type Values = Partial<Record<keyof typeof ADMIN_FLAGS, string>>

/** By the flags, else by the config of the gateway. A token in the environment shows in no list of processes. */
export function adminAccess(values: Values, output: Output): AdminAccess | Failed {
  const token = values.token ?? process.env.GATEHOUSE_ADMIN_TOKEN
  if (values.admin !== undefined) {
    const url = URL.parse(values.admin)
    if (url === null || !/^https?:$/.test(url.protocol) || url.pathname !== "/")
      return usage("--admin is the URL of the admin port, such as http://127.0.0.1:9080", output)
    if (token === undefined) return usage("--admin needs --token, or $GATEHOUSE_ADMIN_TOKEN", output)
    return { url: url.origin, token }
  }
  const file = findConfigFile(values.config)
  const loaded = loadFrom(file)
  if (!loaded.ok) {
    output.err(describeFindings(loaded, file))
    return { failed: EXIT.usage }
  }
  const { admin } = loaded.config
  const used = token ?? admin.token
  if (used === undefined)
    return usage(
      `${sourceName(file)} has no \`admin.token\`: give the one the gateway's log shows, by --token`,
      output,
    )
  return { url: `http://${hostOf(admin.host)}:${admin.port}`, token: used }
}

/** All addresses are this machine's own, too. */
function hostOf(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1"
  if (host === "::") return "[::1]"
  return host.includes(":") ? `[${host}]` : host
}

function usage(message: string, output: Output): Failed {
  output.err(`gatehouse: ${message}\n`)
  return { failed: EXIT.usage }
}

/** What the admin API answers, or a failure that was told. Its refusals are the operator's to mend: exit code 1. */
export async function askAdmin(
  { url, token }: AdminAccess,
  method: string,
  path: string,
  body: object | undefined,
  output: Output,
): Promise<{ readonly body: unknown } | Failed> {
  let response: Response
  let text: string
  try {
    response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      signal: AbortSignal.timeout(PATIENCE_MS),
      redirect: "error",
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    text = await response.text()
  } catch (error) {
    output.err(`gatehouse: asking ${url}: ${(error as Error).message}\n`)
    return { failed: EXIT.cannotStart }
  }
  const answer = parse(text)
  if (response.ok && answer !== undefined) return { body: answer }
  const told = (answer as { error?: { message?: unknown } } | undefined)?.error?.message
  output.err(
    `gatehouse: ${url} answers ${response.status}: ${typeof told === "string" ? told : "no admin API"}\n`,
  )
  return { failed: response.ok ? EXIT.cannotStart : EXIT.usage }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Somebody else answers there: told by the status.
    return undefined
  }
}
