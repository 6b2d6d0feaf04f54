import { type ParseArgsConfig, parseArgs } from "node:util"
import { didYouMean } from "../lib/suggest.ts"

export type Flags = NonNullable<ParseArgsConfig["options"]>

/** What followed a command, or why it makes no sense. */
export type ParsedArgs =
  | {
      readonly ok: true
      /** By long name; a flag that was not given is absent. */
      readonly values: Readonly<Record<string, string | boolean | readonly (string | boolean)[] | undefined>>
      readonly positionals: readonly string[]
    }
  | { readonly ok: false; readonly message: string }

/** Flag of every command that reads a config. */
export const CONFIG_FLAG = { config: { type: "string", short: "c" } } as const satisfies Flags

/** Parses flags in any order; other words are `positionals`, of which only the first `required` must be there. */
export function parseCommand(
  args: readonly string[],
  flags: Flags,
  positionals: readonly string[] = [],
  required = positionals.length,
): ParsedArgs {
  let parsed: ReturnType<typeof parseArgs>
  try {
    parsed = parseArgs({ args: [...args], options: flags, allowPositionals: true, strict: true })
  } catch (error) {
    return { ok: false, message: explainError(error, flags) }
  }
  const extra = parsed.positionals[positionals.length]
  if (extra !== undefined) return { ok: false, message: `unexpected argument "${extra}"` }
  const missing = positionals[parsed.positionals.length]
  if (missing !== undefined && parsed.positionals.length < required)
    return { ok: false, message: `missing ${missing}` }
  return { ok: true, values: parsed.values, positionals: parsed.positionals }
}

function explainError(error: unknown, flags: Flags): string {
  const message = error instanceof Error ? error.message : String(error)
  const unknown = /^Unknown option '(-*)([^']+)'/.exec(message)
  if (!unknown) return message.split(/[.\n]/)[0]!.toLowerCase()
  const [, dashes = "", name = ""] = unknown
  const near =
    dashes === "--"
      ? didYouMean(
          `--${name}`,
          Object.keys(flags).map((flag) => `--${flag}`),
        )
      : ""
  return `unknown flag ${dashes}${name}${near}`
}
