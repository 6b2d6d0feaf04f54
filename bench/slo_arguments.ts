import { type Flags, parseCommand } from "../src/cli/args.ts"
import { parseDuration } from "../src/lib/units.ts"
import { isFieldName, isFieldValue } from "../src/policies/header_rules.ts"
import type { LoadTarget } from "./load_connection.ts"
import { parseObjective, type SloObjective } from "./slo_verdict.ts"

export const SLO_USAGE = `usage: bun bench/slo.ts --url URL --rate N --duration TIME [flag…]

Asks a deployment at a fixed rate, and counts the time of every request from when it was due.
Ends with 1 past an objective or with too many errors, with 2 when called wrongly.

  --url URL              what to GET: http:// or https://
  --rate N               requests a second, 0.1 to 50000
  --duration TIME        such as 30s or 5m, at most 24h
  --connections N        most connections at a time, 1 to 10000 (default 256)
  --objective pX=TIME    such as p99=50ms or max=1s; may be given again (default p99=50ms)
  --max-errors SHARE     most requests that may fail, such as 0.1% (default) or 0%
  --header 'Name: value' sent with every request; may be given again
  --timeout TIME         an answer later than this is an error, at most 60s (default 10s)
  --warm-up TIME         asked at the same rate before, and not counted, at most 10m (default 2s)
  --insecure             takes any certificate
  --json                 prints one JSON object instead of text`

const FLAGS: Flags = {
  url: { type: "string" },
  rate: { type: "string" },
  duration: { type: "string" },
  connections: { type: "string", default: "256" },
  objective: { type: "string", multiple: true, default: ["p99=50ms"] },
  "max-errors": { type: "string", default: "0.1%" },
  header: { type: "string", multiple: true, default: [] },
  timeout: { type: "string", default: "10s" },
  "warm-up": { type: "string", default: "2s" },
  insecure: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
}

export interface SloOptions {
  readonly target: LoadTarget
  /** Path with query, and Host. */
  readonly path: string
  readonly host: string
  /** Header lines, each with its CRLF. */
  readonly fields: string
  readonly perSecond: number
  readonly durationMs: number
  readonly warmUpMs: number
  readonly connections: number
  readonly timeoutMs: number
  readonly objectives: readonly SloObjective[]
  /** Share of requests that may fail, 0 to 1. */
  readonly maxErrors: number
  readonly json: boolean
}

export type SloArguments =
  | { readonly kind: "run"; readonly options: SloOptions }
  | { readonly kind: "help" }
  | { readonly kind: "wrong"; readonly message: string }

/** A mistake in the arguments, to be told as it is. */
class Wrong extends Error {}

/** Arguments of `bench/slo.ts`. */
export function parseSloArguments(args: readonly string[]): SloArguments {
  const parsed = parseCommand(args, FLAGS)
  if (!parsed.ok) return { kind: "wrong", message: parsed.message }
  const values = parsed.values as Readonly<Record<string, string | boolean | string[] | undefined>>
  if (values.help === true) return { kind: "help" }
  const text = (flag: string): string => {
    const value = values[flag]
    if (typeof value !== "string" || value === "") throw new Wrong(`--${flag} is missing`)
    return value
  }
  try {
    const url = toUrl(text("url"))
    return {
      kind: "run",
      options: {
        target: toTarget(url, values.insecure === true),
        path: url.pathname + url.search,
        ...toFields(values.header as string[], url.host),
        perSecond: toNumber("rate", text("rate"), 0.1, 50_000, false),
        durationMs: toTime("duration", text("duration"), 1, 86_400_000),
        warmUpMs: toTime("warm-up", text("warm-up"), 0, 600_000),
        connections: toNumber("connections", text("connections"), 1, 10_000, true),
        timeoutMs: toTime("timeout", text("timeout"), 1, 60_000),
        objectives: (values.objective as string[]).map(toObjective),
        maxErrors: toShare(text("max-errors")),
        json: values.json === true,
      },
    }
  } catch (error) {
    if (error instanceof Wrong) return { kind: "wrong", message: error.message }
    throw error
  }
}

function toUrl(text: string): URL {
  const url = URL.parse(text)
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new Wrong(`--url: ${JSON.stringify(text)} is no http:// or https:// URL`)
  if (url.username !== "" || url.password !== "")
    throw new Wrong("--url: leave out user and password, and write --header 'Authorization: …'")
  return url
}

function toTarget({ protocol, hostname, port }: URL, insecure: boolean): LoadTarget {
  const secure = protocol === "https:"
  const bare = hostname.replace(/^\[|\]$/g, "")
  const isAddress = bare.includes(":") || /^[\d.]+$/.test(bare)
  return {
    hostname: bare,
    port: port === "" ? (secure ? 443 : 80) : Number(port),
    tls: secure ? { serverName: isAddress ? "" : bare, verify: !insecure } : undefined,
  }
}

/** What the load itself decides. */
const FRAMING: ReadonlySet<string> = new Set(["connection", "content-length", "transfer-encoding", "upgrade"])

function toFields(written: readonly string[], urlHost: string): Pick<SloOptions, "host" | "fields"> {
  let host = urlHost
  let fields = ""
  for (const each of written) {
    const colon = each.indexOf(":")
    const name = each.slice(0, Math.max(colon, 0)).trim()
    const value = each.slice(colon + 1).trim()
    // The value may be a secret: only the name is told.
    if (!isFieldName(name)) throw new Wrong("--header: write it as 'Name: value'")
    if (!isFieldValue(value)) throw new Wrong(`--header ${name}: its value has a byte no header can carry`)
    if (FRAMING.has(name.toLowerCase())) throw new Wrong(`--header ${name}: the load sets it itself`)
    if (name.toLowerCase() === "host") host = value
    else fields += `${name}: ${value}\r\n`
  }
  return { host, fields }
}

function toNumber(flag: string, text: string, least: number, most: number, whole: boolean): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= least && value <= most) || (whole && !Number.isInteger(value)))
    throw new Wrong(
      `--${flag}: ${JSON.stringify(text)} is no ${whole ? "whole " : ""}number from ${least} to ${most}`,
    )
  return value
}

function toTime(flag: string, text: string, least: number, most: number): number {
  const ms = parseDuration(text)
  if (ms === undefined)
    throw new Wrong(`--${flag}: ${JSON.stringify(text)} is no time; write for example 30s`)
  if (ms < least || ms > most) throw new Wrong(`--${flag}: must be from ${least}ms to ${most / 1000}s`)
  return ms
}

function toObjective(text: string): SloObjective {
  const objective = parseObjective(text)
  if (objective === undefined)
    throw new Wrong(
      `--objective: ${JSON.stringify(text)} is none; write for example p99=50ms, p99.9=200ms or max=1s`,
    )
  return objective
}

function toShare(text: string): number {
  const found = /^(\d+(?:\.\d+)?)\s*%$/.exec(text)
  const share = Number(found?.[1] ?? Number.NaN) / 100
  if (!(share >= 0 && share <= 1))
    throw new Wrong(`--max-errors: ${JSON.stringify(text)} is no share from 0% to 100%`)
  return share
}
