import { readFileSync, statSync } from "node:fs"
import type { StaticDecode } from "typebox"
import { strictObject } from "../lib/strict_object.ts"
import { Type } from "../lib/type.ts"
import type { FoundInstance } from "../upstream/discovery/source.ts"
import { MAX_SERVICE_INSTANCES } from "../upstream/service.ts"
import { parseInstance } from "./check_services.ts"
import { findFaults, valueAt } from "./faults.ts"
import { fillDefaults } from "./fill_defaults.ts"
import { problemText, shown } from "./problem.ts"
import { asSchema } from "./schema_walk.ts"
import { formatOf, readSource } from "./source.ts"
import { MAX_BYTES, Problems } from "./tree.ts"

const ListSchema = Type.Array(
  Type.Union([
    Type.String({ description: "Shorthand: the URL alone." }),
    strictObject({
      url: Type.String({ description: "http://host:port or https://host:port." }),
      weight: Type.Integer({ minimum: 1, maximum: 256, default: 1 }),
      zone: Type.String({ default: "", maxLength: 64 }),
      tags: Type.Array(Type.String({ maxLength: 64 }), { default: [], maxItems: 32 }),
      draining: Type.Boolean({ default: false }),
    }),
  ]),
  { maxItems: MAX_SERVICE_INSTANCES },
)

/** Reads the instances of a service from a file. Throws an `Error` that says all that is wrong with it. */
export function readInstanceFile(path: string, service: string): readonly FoundInstance[] {
  const status = statSync(path)
  if (!status.isFile()) throw new Error(`${path} is no regular file`)
  if (status.size > MAX_BYTES) throw new Error(`${path} is larger than ${MAX_BYTES / 1024 / 1024} MB`)
  const text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path))
  return parseInstances(text, path, service)
}

/** Parses the text of such a file; `path` tells the format, and is named in errors. */
export function parseInstances(text: string, path: string, service: string): readonly FoundInstance[] {
  const problems = new Problems()
  const tree = readSource(text, formatOf(path, text), problems, true)?.tree
  refuse(path, problems)
  const list = Array.isArray(tree) ? tree : listOf(tree, path, service)
  const filled = fillDefaults(asSchema(ListSchema), list)
  for (const { path: at, message } of findFaults(ListSchema, filled))
    problems.add(at, message, shown(at, valueAt(list, at)))
  refuse(path, problems)
  const found = (filled as StaticDecode<typeof ListSchema>).map((each): FoundInstance => {
    return typeof each === "string" ? { url: each, weight: 1, zone: "", tags: [], draining: false } : each
  })
  for (const [i, { url }] of found.entries()) {
    const parsed = parseInstance(url)
    if (typeof parsed === "string") problems.add([i], parsed)
  }
  refuse(path, problems)
  return found
}

/** The list a mapping of services holds for this one. */
function listOf(tree: unknown, path: string, service: string): unknown {
  if (typeof tree === "object" && tree !== null && Object.hasOwn(tree, service))
    return (tree as Record<string, unknown>)[service]
  throw new Error(`${path} is neither a list of instances nor a mapping with a list for ${service}`)
}

function refuse(path: string, problems: Problems): void {
  if (problems.none) return
  const told = problems.list.slice(0, 5).map(problemText)
  const more = problems.list.length - told.length
  throw new Error(`${path}: ${told.join("; ")}${more > 0 ? `; and ${more} more` : ""}`)
}
