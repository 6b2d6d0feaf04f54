import { METRICS } from "../observe/catalogue.ts"
import { LOG_EVENTS } from "../observe/log_events.ts"
import type { Metric } from "../observe/metric.ts"
import { ACCESS_LOG_FIELDS } from "../policies/access_log.ts"
import { FAILURES } from "../policies/failure.ts"
import { ORDER } from "../policies/order.ts"
import { range } from "./faults.ts"
import { ConfigSchema, RouteSchema } from "./schema.ts"
import { asSchema, choices, type Schema } from "./schema_walk.ts"

/** The reference page: every key, policy, failure code, metric and log field, from the lists the code uses. */
export function referencePage(): string {
  const root = asSchema(ConfigSchema)
  const { services, routes, defaults, ...plain } = root.properties!
  const policyNames = new Set<string>(ORDER.map((policy) => policy.name))
  const route = asSchema(RouteSchema)
  const routeKeys = Object.entries(route.properties!).filter(([key]) => !policyNames.has(key))
  const parts = [
    INTRODUCTION,
    ...Object.entries(plain).flatMap(([key, schema]) =>
      section(`\`${key}\``, oneOf(schema), key, schema.description),
    ),
    ...section("`services.<name>`", onlyRecord(services!), "services.<name>", services!.description),
    `## \`defaults\`\n\n${defaults!.description} Its keys are the policies below.`,
    ...section(
      "`routes[]`",
      { ...route, properties: Object.fromEntries(routeKeys) },
      "routes[]",
      routes!.description,
    ),
    POLICIES,
    ...ORDER.flatMap((policy) =>
      section(`\`${policy.name}\``, oneOf(asSchema(policy.schema)), policy.name, policyDoc(policy), 3),
    ),
    failureTable(),
    metricTable(),
    accessLogTable(),
    logTable(),
  ]
  return `${parts.join("\n\n")}\n`
}

const INTRODUCTION = `# Configuration reference

Made by \`gatehouse schema --markdown\` from the schema that checks the file; do not edit it by hand.
\`gatehouse schema\` prints the same as JSON Schema, for editors.

- The file is YAML, JSON or TOML, by its extension. Unknown keys are errors, and all errors are reported at once.
- **duration**: \`250ms\`, \`30s\`, \`5m\`, \`1h\`, \`2d\`; a bare number is seconds. **size**: \`64KB\`, \`10MB\`, \`1GB\` (1 KB is 1024 bytes); a bare number is bytes.
- \`\${NAME}\` takes an environment variable, \`\${NAME:-default}\` has a default for one that is unset or empty, \`$\${\` is a plain \`\${\`. Keys are not replaced.
- File names start from the directory of the config file.
- Bounds: 8 MB, 64 levels of nesting, 1,000,000 values.

## Without a file

With no \`-c\`, no \`GATEHOUSE_CONFIG\` and no \`gatehouse.yaml\`, \`.yml\`, \`.json\` or \`.toml\` in the working directory, the environment alone makes the config:

| variable | effect |
|---|---|
| \`<NAME>_SERVICE_URL\` | Service \`<name>\` in lower case with \`_\` as \`-\`; one URL, or several with commas. It is routed at \`\${API_V1_PREFIX}/<name>/*\`, WebSockets included, and gets the path as the client sent it. Every route has the policies \`request_id\` and \`access_log\`. |
| \`API_V1_PREFIX\` | Where those routes begin; default \`/api/v1\`. |
| \`SECRET_KEY\` | \`auth.secret\`: tokens are checked and issued, and every route needs a caller. |
| \`ACCESS_TOKEN_EXPIRE_MINUTES\` | \`auth.access_token_ttl\`; default 15. |
| \`STORE_URL\`, else \`DATABASE_URL\` | \`store\`. |
| \`DEBUG\` | \`true\`: \`log.level\` is \`debug\`, and \`auth.https\` is \`off\`. |
| \`RATE_LIMIT_PER_SECOND\` | Policy \`rate_limit\` of every route: so many requests a second of each caller, on all routes together; twice as many at once. |
| \`REDIS_HOST\`, \`REDIS_PORT\` | \`redis\`: the server by which several machines share their limits; port 6379 by default. |

When there is a file, none of these is read unless the file refers to it.`

const POLICIES = `## Policies

What a route can ask for, in running order: requests pass them from top to bottom, answers from bottom to top. A key of \`defaults\` gives the policy to every route; the same key of a route replaces those options as a whole, and \`without\` drops it.`

/** Options that are one mapping, a list of them or a text are shown as the mapping. */
function oneOf(schema: Schema): Schema {
  return schema.anyOf?.find((variant) => variant.properties) ?? schema
}

function policyDoc({ doc, schema }: (typeof ORDER)[number]): string {
  const list = asSchema(schema).anyOf?.find((variant) => variant.items)
  return list === undefined ? doc : `${doc} ${list.description}`
}

function onlyRecord(schema: Schema): Schema {
  return Object.values(schema.patternProperties!)[0]!
}

/** A heading, a line and a table of keys, then the same for each mapping inside. */
function section(title: string, schema: Schema, path: string, doc = schema.description, level = 2): string[] {
  const rows: string[] = []
  const inner: string[] = []
  const required = new Set(schema.required ?? [])
  for (const [key, each] of Object.entries(schema.properties ?? {})) {
    const wanted = required.has(key) && each.default === undefined
    rows.push(`| \`${key}\` | ${type(each)} | ${defaultOf(each, wanted)} | ${cell(each.description ?? "")} |`)
    for (const [suffix, mapping] of mappings(each)) {
      const place = `${path}.${key}${suffix}`
      inner.push(...section(`\`${place}\``, mapping, place, mapping.description, Math.min(level + 1, 4)))
    }
  }
  const table =
    rows.length === 0
      ? "It has no options: `{}`."
      : `| key | type | default | |\n|---|---|---|---|\n${rows.join("\n")}`
  return [`${"#".repeat(level)} ${title}\n\n${doc ? `${doc}\n\n` : ""}${table}`, ...inner]
}

/** Mappings with keys of their own within a value: itself, list items, variants of a union. */
function mappings(schema: Schema): [suffix: string, mapping: Schema][] {
  if (schema.properties) return [["", schema]]
  if (schema.items) return mappings(schema.items).map(([suffix, each]) => [`[]${suffix}`, each])
  if (schema.patternProperties)
    return mappings(onlyRecord(schema)).map(([suffix, each]) => [`.<name>${suffix}`, each])
  return (schema.anyOf ?? []).flatMap(mappings)
}

/** The type with its bounds, as people say it. */
function type(schema: Schema): string {
  if (schema.unit !== undefined) return schema.unit
  const words = choices(schema)
  if (words) return words.map((word) => `\`${word}\``).join(", ")
  if (schema.anyOf) return [...new Set(schema.anyOf.map(type))].join(" or ")
  switch (schema.type) {
    case "integer":
    case "number":
      return `${schema.type}${range(schema)}`
    case "array":
      return `list of ${schema.items ? type(schema.items) : "anything"}${lengths(schema.minItems, schema.maxItems, "items")}`
    case "object":
      return schema.patternProperties ? `mapping of name to ${type(onlyRecord(schema))}` : "mapping"
    case "string":
      return `text${lengths(schema.minLength, schema.maxLength, "characters")}`
    case "boolean":
      return "`true`, `false`"
    default:
      return "anything"
  }
}

function lengths(least: number | undefined, most: number | undefined, unit: string): string {
  if (least !== undefined && most !== undefined) return ` (${least} to ${most} ${unit})`
  if (least !== undefined) return ` (at least ${least} ${unit})`
  return most === undefined ? "" : ` (at most ${most} ${unit})`
}

function defaultOf(schema: Schema, required: boolean): string {
  if (required) return "required"
  if (schema.default === undefined) return "none"
  const isEmptyMapping = typeof schema.default === "object" && JSON.stringify(schema.default) === "{}"
  if (isEmptyMapping && schema.properties) return "see below"
  return `\`${cell(JSON.stringify(schema.default))}\``
}

/** Text within a table: a bar would end the cell. */
function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("\n", " ")
}

function failureTable(): string {
  const rows = Object.entries(FAILURES).map(
    ([code, row]) =>
      `| \`${code}\` | ${row.status} | ${row.category} | ${cell(row.message)} ${cell(row.doc)} |`,
  )
  return `## Failure codes

What the gateway answers when it refuses or cannot serve a request: \`{"error":{"code","message","details"},"request_id"}\`, or \`application/problem+json\` when Accept prefers it. Codes are stable.

| code | status | category | when, and what to do |
|---|---|---|---|
${rows.join("\n")}`
}

function metricTable(): string {
  const rows = METRICS.map(({ name, type, labels, help, buckets }) => {
    const marked = labels.map((label) => `\`${label}\``).join(", ")
    return `| \`${name}\` | ${type} | ${marked} | ${cell(help)}${bounds(buckets)} |`
  })
  return `## Metrics

\`GET /metrics\` on the admin port, with the admin token: the Prometheus text format, all workers together. Beside these stand \`process_*\` and \`nodejs_*\` of the process. Labels hold names from the config only, never what a client sent.

| metric | type | labels | |
|---|---|---|---|
${rows.join("\n")}`
}

function bounds(buckets: Metric["buckets"]): string {
  return buckets === undefined ? "" : ` Buckets: ${buckets.join(", ")}.`
}

function accessLogTable(): string {
  const rows = ACCESS_LOG_FIELDS.map(([name, doc]) => `| \`${name}\` | ${cell(doc)} |`)
  return `## Access log

One JSON line a request on standard output, for routes with the policy \`access_log\`. Every line has all fields, in this order.

| field | |
|---|---|
${rows.join("\n")}`
}

function logTable(): string {
  const rows = LOG_EVENTS.map(([event, level, doc]) => `| \`${event}\` | ${level} | ${cell(doc)} |`)
  return `## Log

The gateway's own log: one JSON line an event on standard error, with \`time\`, \`level\`, \`event\` and the event's own fields. \`log.level\` is the least serious level written; only \`admin.token\` always is.

| event | level | |
|---|---|---|
${rows.join("\n")}`
}
