import type { TSchema } from "typebox"
import { parseJson } from "../../lib/json_parse.ts"
import { late } from "../../lib/late.ts"
import { COMMANDS, type Command, type CommandName, MAX_COMMANDS } from "./protocol.ts"

/** One command of a frame, or the id of one that does not fit. */
export type Decoded =
  | { readonly kind: "command"; readonly command: Command }
  | { readonly kind: "unfit"; readonly id: number }

const MAX_DEPTH = 32

let checks: Readonly<Record<CommandName, (value: unknown) => boolean>> | undefined

/** Compiled with the first frame: a gateway without realtime need not. */
function compileChecks(): Readonly<Record<CommandName, (value: unknown) => boolean>> {
  const compiled = Object.entries(COMMANDS).map(([name, schema]) => {
    const validator = late.typebox.Compile(schema as TSchema)
    return [name, (value: unknown) => validator.Check(value)] as const
  })
  return Object.fromEntries(compiled) as Record<CommandName, (value: unknown) => boolean>
}

/** The commands of one frame; `undefined`: it is no JSON, or not even a command's shape with an id. */
export function decodeFrame(text: string): readonly Decoded[] | undefined {
  const parsed = parseJson(Buffer.from(text), MAX_DEPTH)
  if (!parsed.ok) return undefined
  if (!Array.isArray(parsed.value)) {
    const one = decodeOne(parsed.value)
    return one === undefined ? undefined : [one]
  }
  if (parsed.value.length === 0 || parsed.value.length > MAX_COMMANDS) return undefined
  const decoded: Decoded[] = []
  for (const value of parsed.value) {
    const one = decodeOne(value)
    if (one === undefined) return undefined
    decoded.push(one)
  }
  return decoded
}

function decodeOne(value: unknown): Decoded | undefined {
  if (typeof value !== "object" || value === null) return undefined
  const { id, type } = value as { readonly id?: unknown; readonly type?: unknown }
  if (typeof id !== "number" || !Number.isSafeInteger(id) || id < 1) return undefined
  checks ??= compileChecks()
  if (typeof type !== "string" || !Object.hasOwn(checks, type)) return { kind: "unfit", id }
  return checks[type as CommandName](value)
    ? { kind: "command", command: value as Command }
    : { kind: "unfit", id }
}
