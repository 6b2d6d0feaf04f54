import { decodeUnits } from "./decode_units.ts"
import { findFaults, valueAt } from "./faults.ts"
import { fillDefaults } from "./fill_defaults.ts"
import { fits } from "./fits.ts"
import { type Interpolated, readScalar } from "./interpolate.ts"
import { type Path, pathText, shown } from "./problem.ts"
import { type Config, ConfigSchema } from "./schema.ts"
import { asSchema, child, type Schema, schemaAt } from "./schema_walk.ts"
import type { Problems, Tree } from "./tree.ts"

/** A config as far as it could be decoded, for the cross-checks: they run even where other parts are broken. */
export interface Decoded {
  /** Durations in milliseconds, sizes in bytes, defaults filled in. Broken routes and services are left out. */
  readonly config: Config
  /** Position in the file of each route of `config`. */
  readonly routeIndex: readonly number[]
  /** Whether routes were left out. */
  readonly brokenRoutes: boolean
  /** Services left out; routes may refer to them. */
  readonly brokenServices: ReadonlySet<string>
  /** Top-level sections that were replaced by their defaults because they are broken. */
  readonly brokenSections: ReadonlySet<string>
  /** Whether the file itself has this place (and it is no default). */
  isWritten(path: Path): boolean
}

type Mapping = { [key: string]: Tree }

/**
 * Decodes a config and adds a problem for each place that does not fit the schema. `undefined`: so much is
 * broken that the rest means nothing.
 */
export function decode(source: Interpolated, problems: Problems): Decoded | undefined {
  const schema = asSchema(ConfigSchema)
  const raw = (source.whole.length === 0 ? source.tree : structuredClone(source.tree)) as Mapping
  for (const path of source.whole) convert(schema, raw, path)
  const filled = fillDefaults(schema, raw) as Mapping
  const broken = new Set<string>()
  const faults = badKeys(schema, filled, [])
  if (!fits(schema, filled)) faults.push(...findFaults(ConfigSchema, filled))
  // A variable that is not set is said once, not again as a text that is too short.
  const known = new Set(problems.list.map((each) => each.path))
  for (const { path, message } of faults) {
    // Shown as the file has it: what came from the environment may be a secret.
    const value = source.written.get(pathText(path)) ?? valueAt(raw, path)
    if (!known.has(pathText(path))) problems.add(path, message, shown(path, value))
    broken.add(pathText(path.slice(0, path[0] === "routes" || path[0] === "services" ? 2 : 1)))
  }
  const rest = prune(filled, broken)
  return rest && { ...rest, isWritten: (path) => valueAt(raw, path) !== undefined }
}

/** A value that is one placeholder becomes a number or boolean only where its text does not fit. */
function convert(schema: Schema, root: Mapping, path: Path): void {
  const expected = schemaAt(schema, path)
  const parent = valueAt(root, path.slice(0, -1)) as Record<string | number, Tree>
  const key = path.at(-1)!
  const text = parent[key]
  if (expected === undefined || typeof text !== "string") return
  if (fits(expected, text)) return
  const value = readScalar(text)
  // Also when it does not fit (a port of 99999): the message is then about the number, not about text.
  if (fits(expected, value) || (typeof value === "number" && expected.type === "integer")) parent[key] = value
}

/** Keys of records whose names break the record's rule; TypeBox lets them pass unread. */
function badKeys(schema: Schema, value: unknown, path: Path): { path: Path; message: string }[] {
  if (typeof value !== "object" || value === null) return []
  if (Array.isArray(value)) {
    const items = schema.items
    return items ? value.flatMap((each, i) => badKeys(items, each, [...path, i])) : []
  }
  const found: { path: Path; message: string }[] = []
  for (const key in value) {
    const inner = child(schema, key)
    const each = (value as Mapping)[key]
    if (inner) {
      if (typeof each === "object") found.push(...badKeys(inner, each, [...path, key]))
    } else if (schema.patternProperties) {
      found.push({ path: [...path, key], message: badName(Object.keys(schema.patternProperties), key) })
    }
  }
  return found
}

function badName(rules: readonly string[], name: string): string {
  const anyCase = rules.some((rule) => rule.includes("A-Z"))
  const message = anyCase
    ? "a name is letters, digits and - _ . :, at most 64, and starts with a letter"
    : "a name is lower-case letters, digits, - and _, at most 63, and starts with a letter"
  const near = (anyCase ? name : name.toLowerCase()).replace(/[^A-Za-z0-9_-]+/g, "-")
  return rules.some((rule) => new RegExp(rule).test(near)) ? `${message}; ${near} would do` : message
}

/** With a section `auth`, every route needs a caller unless it says otherwise: nobody has to think of it. */
function denyByDefault(config: Mapping): void {
  const { auth, defaults } = config
  if (auth === undefined || typeof defaults !== "object" || defaults === null) return
  config.defaults = { auth: {}, ...(defaults as Mapping) }
}

/** Fills in what took the place of broken sections. Routes and services have their defaults, and may be many. */
function completed({ routes, services, ...rest }: Mapping): Mapping {
  const filled = fillDefaults(asSchema(ConfigSchema), rest) as Mapping
  if (routes !== undefined) filled.routes = routes
  if (services !== undefined) filled.services = services
  return filled
}

/** Takes out what is broken and decodes the rest. */
function prune(filled: Mapping, broken: ReadonlySet<string>): Omit<Decoded, "isWritten"> | undefined {
  const pruned: Mapping = { ...filled }
  const routeIndex: number[] = []
  const brokenServices = new Set<string>()
  const brokenSections = new Set<string>()
  for (const key of Object.keys(filled)) {
    if (!broken.has(key)) continue
    brokenSections.add(key)
    delete pruned[key]
  }
  if (broken.has("")) for (const key of Object.keys(pruned)) delete pruned[key]
  if (Array.isArray(pruned.routes)) {
    pruned.routes = pruned.routes.filter((_, i) => {
      if (broken.has(`routes[${i}]`)) return false
      routeIndex.push(i)
      return true
    })
  }
  if (typeof pruned.services === "object" && pruned.services !== null && !Array.isArray(pruned.services)) {
    const services: Mapping = {}
    for (const [name, service] of Object.entries(pruned.services)) {
      if (broken.has(pathText(["services", name]))) brokenServices.add(name)
      else services[name] = service
    }
    pruned.services = services
  }
  denyByDefault(pruned)
  const complete = completed(pruned)
  if (broken.size > 0 && !fits(asSchema(ConfigSchema), complete)) return undefined
  return {
    config: decodeUnits(asSchema(ConfigSchema), complete) as Config,
    routeIndex,
    brokenRoutes: [...broken].some((each) => each.startsWith("routes")),
    brokenServices,
    brokenSections,
  }
}
