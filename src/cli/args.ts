import { didYouMean } from "../lib/suggest.ts"

export interface Flag {
  /** A string takes a value: `--name value`, `--name=value`, `-n value`, `-nvalue`. */
  readonly type: "string" | "boolean"
  /** One letter. */
  readonly short?: string
  /** It may be given several times: its value is the list. Otherwise the last one counts. */
  readonly multiple?: boolean
  /** Its value where it is not given. */
  readonly default?: string | boolean | readonly string[]
}

/** By long name. */
export type Flags = Readonly<Record<string, Flag>>

type Values = Readonly<Record<string, string | boolean | readonly string[] | undefined>>

/** What followed a command, or why it makes no sense. */
export type ParsedArgs =
  | {
      readonly ok: true
      /** By long name; a flag that was not given, and has no default, is absent. */
      readonly values: Values
      readonly positionals: readonly string[]
    }
  | { readonly ok: false; readonly message: string }

/** Flag of every command that reads a config. */
export const CONFIG_FLAG = { config: { type: "string", short: "c" } } as const satisfies Flags

/**
 * Parses flags in any order; other words are `positionals`, of which only the first `required` must be there. All that
 * follows "--" are words. `parseArgs` of node:util does as much, but to load it takes a twentieth of every start.
 */
export function parseCommand(
  args: readonly string[],
  flags: Flags,
  positionals: readonly string[] = [],
  required = positionals.length,
): ParsedArgs {
  const values: Record<string, string | boolean | string[]> = {}
  const words: string[] = []
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!
    if (arg === "--") {
      words.push(...args.slice(i + 1))
      break
    }
    if (!arg.startsWith("-") || arg === "-") {
      words.push(arg)
      continue
    }
    const given = readFlag(arg)
    const found = findFlag(given.name, flags)
    if (found === undefined) return { ok: false, message: `unknown flag ${unknownFlag(given.name, flags)}` }
    const [name, { type, multiple }] = found
    if (type === "boolean") {
      if (given.value !== undefined) return { ok: false, message: `${given.name} takes no value` }
      values[name] = true
      continue
    }
    const value = given.value ?? args[++i]
    // Most likely the value was forgotten, and this is the next flag.
    if (value === undefined || (given.value === undefined && /^-./.test(value)))
      return { ok: false, message: `${given.name} needs a value` }
    values[name] = multiple === true ? [...((values[name] as string[]) ?? []), value] : value
  }
  const extra = words[positionals.length]
  if (extra !== undefined) return { ok: false, message: `unexpected argument "${extra}"` }
  const missing = positionals[words.length]
  if (missing !== undefined && words.length < required) return { ok: false, message: `missing ${missing}` }
  return { ok: true, values: { ...defaultsOf(flags), ...values }, positionals: words }
}

const defaultsOf = (flags: Flags): Values =>
  Object.fromEntries(
    Object.entries(flags).flatMap(([name, flag]) =>
      flag.default === undefined ? [] : [[name, flag.default]],
    ),
  )

/** The name with its dashes, and the value where it stands in the same word. */
function readFlag(arg: string): { readonly name: string; readonly value: string | undefined } {
  const end = arg.startsWith("--") ? arg.indexOf("=", 2) : 2
  if (end < 0 || end === arg.length) return { name: arg, value: undefined }
  return { name: arg.slice(0, end), value: arg.slice(arg.startsWith("--") ? end + 1 : end) }
}

function findFlag(given: string, flags: Flags): readonly [name: string, flag: Flag] | undefined {
  return Object.entries(flags).find(([name, { short }]) => given === `--${name}` || given === `-${short}`)
}

function unknownFlag(given: string, flags: Flags): string {
  const known = Object.keys(flags).map((flag) => `--${flag}`)
  return given.startsWith("--") ? given + didYouMean(given, known) : given
}
