import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { METRICS } from "../../src/observe/catalogue.ts"

const examples = join(import.meta.dir, "../../examples")
const DASHBOARD = join(examples, "grafana/gatehouse.json")
const ALERTS = join(examples, "prometheus/alerts.yaml")

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly targets?: readonly { readonly expr: string }[]
}

const panels = (JSON.parse(readFileSync(DASHBOARD, "utf8")) as { panels: readonly Panel[] }).panels
const shown = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))
const rules = (
  Bun.YAML.parse(readFileSync(ALERTS, "utf8")) as {
    groups: readonly { rules: readonly { alert: string; expr: string }[] }[]
  }
).groups.flatMap((group) => group.rules)

/** Names of our metrics in an expression that the catalogue does not have, and labels no metric in it has. */
function unknownIn(expr: string): string[] {
  const names = [...expr.matchAll(/\bgatehouse_\w+/g)].map(([name]) => name)
  const found = names.map((name) =>
    METRICS.find((metric) =>
      metric.type === "histogram" ? name === `${metric.name}_bucket` : name === metric.name,
    ),
  )
  const labels = new Set(["instance", "le", ...found.flatMap((metric) => metric?.labels ?? [])])
  const used = [
    ...[...expr.matchAll(/\b(?:by|without) \(([^)]*)\)/g)].flatMap(([, list = ""]) => list.split(", ")),
    ...[...expr.matchAll(/([a-z_]+)(?:=~|!~|!=|=)"/g)].map(([, label = ""]) => label),
  ]
  return [
    ...names.filter((_, i) => found[i] === undefined),
    ...used.filter((label) => !labels.has(label)).map((label) => `label ${label}`),
  ]
}

test("[C-6.10 V-mon.3] the dashboard asks for metrics and labels there are", () => {
  expect(shown.length).toBeGreaterThan(40)
  expect(shown.flatMap(unknownIn)).toEqual([])
})

test("[C-6.10 V-mon.3] the dashboard shows traffic, latency, errors, services, limits, load, identity and abuse", () => {
  const rows = panels.filter(({ type }) => type === "row").map(({ title }) => title)
  expect(rows).toEqual([
    "Traffic",
    "Latency",
    "Errors",
    "Services",
    "Limits",
    "Load",
    "Identity",
    "Abuse",
    "The gateway",
  ])
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
})

test("[T-5.5 C-6.8] the alerts ask for metrics and labels there are, and tell of blocked clients", () => {
  expect(rules.flatMap(({ expr }) => unknownIn(expr))).toEqual([])
  const alerts = rules.map(({ alert }) => alert)
  for (const alert of ["BlockedClient", "BlocksRising", "Shedding", "RedisAway", "QuotasUnknown"])
    expect(alerts).toContain(`Gatehouse${alert}`)
})

test("[T-5.5 C-6.6] the dashboard shows quotas, what is shed, concurrency, blocks and what machines share", () => {
  for (const name of [
    "quota_total",
    "shed_total",
    "shedding_level",
    "concurrency_limit",
    "blocks_total",
    "redis_up",
    "limit_sync_total",
    "block_sync_total",
  ])
    expect(shown.some((expr) => expr.includes(`gatehouse_${name}`))).toBe(true)
})

test.skipIf(Bun.which("promtool") === null)("Prometheus itself accepts the alerts", () => {
  const checked = Bun.spawnSync(["promtool", "check", "rules", ALERTS])
  expect(checked.stderr.toString() + checked.stdout.toString()).toContain(
    `SUCCESS: ${rules.length} rules found`,
  )
})

test.skipIf(Bun.which("promtool") === null)("Prometheus itself can read what the dashboard asks", () => {
  const expressions = shown.map((expr) => expr.replaceAll("$__rate_interval", "5m"))
  const file = JSON.stringify({
    groups: [{ name: "dashboard", rules: expressions.map((expr, i) => ({ record: `panel:${i}`, expr })) }],
  })
  const checked = Bun.spawnSync(["promtool", "check", "rules", "/dev/stdin"], { stdin: Buffer.from(file) })
  expect(checked.stderr.toString() + checked.stdout.toString()).toContain(
    `SUCCESS: ${shown.length} rules found`,
  )
})
