import { parseJsonObject } from "../lib/json_object.ts"
import type { Path } from "./problem.ts"
import {
  isForbiddenKey,
  MAX_BYTES,
  MAX_DEPTH,
  MAX_VALUES,
  noPlaces,
  type Places,
  Problems,
  type Source,
  type Tree,
} from "./tree.ts"

export type Format = "yaml" | "json" | "toml"

/** The format a file name tells, or what the text looks like when it tells none. */
export function formatOf(name: string, text: string): Format {
  const extension = /\.(ya?ml|json|toml)$/i.exec(name)?.[1]?.toLowerCase()
  if (extension === "json" || extension === "toml") return extension
  if (extension !== undefined) return "yaml"
  if (text.trimStart().startsWith("{")) return "json"
  return /^\s*(\[[\w."-]+\]|[\w-]+\s*=)/m.test(text) && !/^[\w-]+:/m.test(text) ? "toml" : "yaml"
}

/**
 * Reads the text into values: a mapping, or with `lists` a list. `undefined`: `problems` tells why. An empty file
 * is an empty mapping.
 */
export function readSource(
  text: string,
  format: Format,
  problems: Problems,
  lists = false,
): Source | undefined {
  if (Buffer.byteLength(text) > MAX_BYTES) {
    problems.add([], `larger than ${MAX_BYTES / 1024 / 1024} MB`)
    return undefined
  }
  if (/[\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.test(text)) {
    problems.add([], "control characters are not allowed in the file")
    return undefined
  }
  const plain = text.startsWith("\uFEFF") ? text.slice(1) : text
  const source =
    format === "toml"
      ? readToml(plain, problems)
      : format === "json"
        ? readJson(plain, problems)
        : yaml().readYaml(plain, problems)
  if (source === undefined) return undefined
  problems.places = source.places
  if (source.tree === null) return { ...source, tree: {} }
  if (lists && Array.isArray(source.tree)) return source
  if (typeof source.tree !== "object" || Array.isArray(source.tree)) {
    problems.add([], "the file must hold a mapping with keys such as server, services and routes")
    return undefined
  }
  return source
}

// Loaded with the first file that needs it: most starts read one format. No import(), as nobody waits for a load.
const yaml = () => require("./yaml.ts") as typeof import("./yaml.ts")

const encoder = new TextEncoder()

/**
 * JSON is YAML as well, and YAML's parser knows lines: what has a fault is read by it. It takes seconds for
 * thousands of routes, so what has none is not.
 */
function readJson(text: string, problems: Problems): Source | undefined {
  if (text.trim() === "") return { tree: null, places: noPlaces }
  const tree = parseJsonObject(encoder.encode(text), MAX_DEPTH) as Tree | undefined
  if (tree !== undefined && valuesOf(tree) <= MAX_VALUES) {
    let places: Places | undefined
    return { tree, places: () => (places ??= placesIn(text))() }
  }
  try {
    JSON.parse(text)
  } catch {
    // The runtime's message quotes the text and has no line; YAML's parser often knows where it breaks.
    yaml().readYaml(text, problems, false)
    if (problems.none) problems.add([], "not valid JSON (YAML goes in a file that ends in .yaml)")
    return undefined
  }
  return yaml().readYaml(text, problems, false)
}

const placesIn = (text: string): Places => yaml().readYaml(text, new Problems(), false)?.places ?? noPlaces

function valuesOf(tree: Tree): number {
  if (typeof tree !== "object" || tree === null) return 1
  let count = 1
  for (const each of Object.values(tree)) count += valuesOf(each)
  return count
}

function readToml(text: string, problems: Problems): Source | undefined {
  // As with YAML.
  const { parse, TomlError } = require("smol-toml") as typeof import("smol-toml")
  let table: unknown
  try {
    table = parse(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    // The first line is the message; the rest quotes the file, which may hold a secret.
    const message = error.message.split("\n")[0]!.replace(/^Invalid TOML document: /, "")
    problems.addAt({ line: error.line, column: error.column }, [], `not valid TOML: ${message}`)
    return undefined
  }
  const counter = { values: 0 }
  const tree = plainTree(table, [], problems, counter)
  return problems.none ? { tree, places: noPlaces } : undefined
}

/** Copies what the TOML parser made into plain values, within the same bounds as YAML. */
function plainTree(value: unknown, path: Path, problems: Problems, counter: { values: number }): Tree {
  if (++counter.values > MAX_VALUES || path.length > MAX_DEPTH) {
    if (problems.none) problems.add([], `more than ${MAX_VALUES} values or ${MAX_DEPTH} levels of nesting`)
    return null
  }
  if (typeof value === "string" || typeof value === "boolean" || typeof value === "number") return value
  if (typeof value === "bigint") return Number(value)
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return value.map((each, i) => plainTree(each, [...path, i], problems, counter))
  const result: { [key: string]: Tree } = {}
  for (const [key, each] of Object.entries(value as Record<string, unknown>)) {
    if (isForbiddenKey(key)) problems.add([...path, key], "this key is not allowed")
    else result[key] = plainTree(each, [...path, key], problems, counter)
  }
  return result
}
