import type { Trouble } from "../gateway/elsewhere.ts"
import type { ServiceView } from "../upstream/describe.ts"
import { ADMIN_FLAGS, adminAccess, askAdmin } from "./admin_client.ts"
import { parseCommand } from "./args.ts"
import { EXIT, type Output } from "./output.ts"
import { usageError } from "./usage.ts"

const FLAGS = { ...ADMIN_FLAGS, json: { type: "boolean" } } as const
const TITLES = [
  "SERVICE",
  "STATUS",
  "BREAKER",
  "INSTANCE",
  "SOURCE",
  "HEALTH",
  "LATENCY",
  "IN FLIGHT",
  "ELSEWHERE",
]
/** Columns of numbers. */
const RIGHT: ReadonlySet<number> = new Set([6, 7])

/** A service as the status shows it. */
export interface ListedService extends ServiceView {
  /** What other gateways see; absent without Redis. */
  readonly elsewhere?: { readonly gateways: number; readonly troubles: readonly Trouble[] }
}

/** `gatehouse services`: services of a running gateway and their instances, as the admin API tells. */
export async function services(args: readonly string[], output: Output): Promise<number> {
  const parsed = parseCommand(args, FLAGS)
  if (!parsed.ok) return usageError("services", parsed.message, output)
  const access = adminAccess(parsed.values as Parameters<typeof adminAccess>[0], output)
  if ("failed" in access) return access.failed
  const asked = await askAdmin(access, "GET", "/admin/v1/status", undefined, output)
  if ("failed" in asked) return asked.failed
  const found = (asked.body as { services: readonly ListedService[] }).services
  output.out(parsed.values.json === true ? `${JSON.stringify(found, null, 2)}\n` : servicesTable(found))
  return EXIT.fine
}

/** One line an instance; a service's own columns stand in its first line alone. */
export function servicesTable(found: readonly ListedService[]): string {
  if (found.length === 0) return "no services\n"
  const rows = found.flatMap(rowsOf)
  const widths = TITLES.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)))
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (RIGHT.has(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join("  ")
      .trimEnd()
  return `${[TITLES, ...rows].map(line).join("\n")}\n`
}

function rowsOf(service: ListedService): readonly (readonly string[])[] {
  const { name, status, breaker, instances } = service
  const own = [name, status, breaker?.state ?? "-"]
  if (instances.length === 0) return [[...own, "none", "", "", "", "", elsewhereOf(service, "")]]
  return instances.map((instance, i) => [
    ...(i === 0 ? own : ["", "", ""]),
    instance.url,
    instance.source,
    healthWord(instance),
    instance.responseTimeMs === 0 ? "-" : `${instance.responseTimeMs.toFixed(1)}ms`,
    String(instance.inFlight),
    [...(i === 0 ? [elsewhereOf(service, "")] : []), elsewhereOf(service, instance.url)]
      .filter((words) => words !== "")
      .join(", "),
  ])
}

/** "ejected at 1 of 2", of the other gateways. */
function elsewhereOf({ elsewhere }: ListedService, instance: string): string {
  const all = elsewhere?.troubles.filter((each) => each.instance === instance) ?? []
  return all
    .map(({ state, gateways }) => `${state.replaceAll("_", " ")} at ${gateways} of ${elsewhere!.gateways}`)
    .join(", ")
}

function healthWord({ healthy, draining, ejectedForMs }: ServiceView["instances"][number]): string {
  if (draining) return "draining"
  if (!healthy) return "unhealthy"
  return ejectedForMs > 0 ? `ejected ${Math.ceil(ejectedForMs / 1000)}s` : "healthy"
}
