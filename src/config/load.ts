import { closeSync, fstatSync, openSync, readFileSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { parseStoreUrl } from "../store/store_url.ts"
import { checkConfig } from "./check.ts"
import { type Decoded, decode } from "./decode.ts"
import { type Environment, interpolate } from "./interpolate.ts"
import { type Problem, pathText, shown } from "./problem.ts"
import type { Config } from "./schema.ts"
import { type Format, formatOf, readSource } from "./source.ts"
import { MAX_BYTES, Problems, type Tree } from "./tree.ts"

/** A config that may be used as it is, or everything that is wrong with it. */
export type Loaded =
  | {
      readonly ok: true
      /** Decoded and frozen; file names in it are absolute. */
      readonly config: Config
      /** What works, but perhaps not as meant. */
      readonly warnings: readonly Problem[]
    }
  | { readonly ok: false; readonly problems: readonly Problem[]; readonly warnings: readonly Problem[] }

/** More problems than this are counted, not listed. */
const MAX_LISTED = 200

/** Loads a file: YAML, JSON or TOML by its extension, or by its look when it has none. Never throws. */
export function loadConfig(path: string, env: Environment = process.env): Loaded {
  const problems = new Problems()
  const text = readText(path, problems)
  if (text === undefined) return { ok: false, problems: problems.list, warnings: [] }
  return parseConfig(text, formatOf(path, text), env, dirname(resolve(path)))
}

/** Loads a text. `directory` is what relative file names in it start from. Never throws. */
export function parseConfig(
  text: string,
  format: Format,
  env: Environment = process.env,
  directory: string = process.cwd(),
): Loaded {
  const problems = new Problems()
  const source = readSource(text, format, problems)
  if (source === undefined || !problems.none) return refuse(problems, new Problems())
  return configFromTree(source.tree, env, directory, problems)
}

/** The part all sources share: placeholders, schema, cross-checks. `problems` may hold the places of the file. */
export function configFromTree(tree: Tree, env: Environment, directory: string, problems: Problems): Loaded {
  const warnings = new Problems()
  warnings.places = problems.places
  const interpolated = interpolate(tree, env, problems)
  const decoded = decode(interpolated, problems)
  if (decoded === undefined) {
    if (problems.none) problems.add([], "the file does not fit the schema")
    return refuse(problems, warnings)
  }
  resolveFiles(decoded.config, directory)
  checkConfig(decoded, {
    // What came from the environment may be a secret; its placeholder is not.
    problem: (path, message, value) => {
      problems.add(path, message, shown(path, interpolated.written.get(pathText(path)) ?? value))
    },
    warning: (path, message) => warnings.add(path, message),
  })
  if (!problems.none) return refuse(problems, warnings)
  return { ok: true, config: deepFreeze(decoded.config), warnings: warnings.list }
}

function refuse(problems: Problems, warnings: Problems): Loaded {
  const list = problems.list.sort(
    (a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0),
  )
  const more = list.length - MAX_LISTED
  const listed =
    more > 0 ? [...list.slice(0, MAX_LISTED), { path: "", message: `and ${more} more problems` }] : list
  return { ok: false, problems: listed, warnings: warnings.list }
}

function readText(path: string, problems: Problems): string | undefined {
  let file: number | undefined
  try {
    file = openSync(path, "r")
    // A directory or a device (an endless /dev/zero) has no size to trust.
    const status = fstatSync(file)
    if (status.isDirectory()) problems.add([], "is a directory, not a file")
    else if (status.size > MAX_BYTES) problems.add([], `larger than ${MAX_BYTES / 1024 / 1024} MB`)
    else if (!status.isFile() && !status.isFIFO()) problems.add([], "is not a regular file")
    if (!problems.none) return undefined
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(file))
  } catch (error) {
    if (error instanceof TypeError) problems.add([], "not valid UTF-8 text")
    else problems.add([], `cannot be read: ${readFault(error)}`)
    return undefined
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

function readFault(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  if (code === "ENOENT") return "there is no such file"
  return code === "EACCES" ? "this user may not" : (code ?? String(error))
}

/** File names in a config start from the directory of the config, wherever the gateway was started. */
function resolveFiles(config: Decoded["config"], directory: string): void {
  for (const key of config.auth?.keys ?? [])
    if (key.file !== undefined) Object.assign(key, { file: resolve(directory, key.file) })
  const store = config.store === undefined ? undefined : parseStoreUrl(config.store)
  if (typeof store === "object" && store.kind === "sqlite" && store.file !== ":memory:")
    Object.assign(config, { store: `sqlite:${resolve(directory, store.file)}` })
  const tls = config.server.tls
  if (tls !== undefined)
    Object.assign(tls, { cert: resolve(directory, tls.cert), key: resolve(directory, tls.key) })
  if (tls?.client_ca !== undefined) Object.assign(tls, { client_ca: resolve(directory, tls.client_ca) })
  const { redis } = config
  if (typeof redis === "object" && redis.ca !== undefined)
    Object.assign(redis, { ca: resolve(directory, redis.ca) })
  const { client_cert_ca } = config.server
  if (client_cert_ca !== undefined)
    Object.assign(config.server, { client_cert_ca: resolve(directory, client_cert_ca) })
  for (const { tls, discover } of Object.values(config.services)) {
    if (discover?.file !== undefined) Object.assign(discover, { file: resolve(directory, discover.file) })
    if (tls?.ca !== undefined) Object.assign(tls, { ca: resolve(directory, tls.ca) })
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value
  for (const each of Object.values(value)) deepFreeze(each)
  return Object.freeze(value)
}
