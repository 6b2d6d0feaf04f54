import { isAddressRange } from "../lib/address_list.ts"
import { isIP } from "../lib/ip.ts"
import { parseServer } from "../upstream/discovery/dns_servers.ts"
import type { ServiceConfig } from "../upstream/service.ts"
import { checkServiceName } from "./check_target.ts"
import type { Decoded } from "./decode.ts"
import { parsePattern } from "./pattern.ts"
import type { Path } from "./problem.ts"
import type { Report } from "./report.ts"
import { durationText } from "./written.ts"

const SECOND_MS = 1000
const HOUR_MS = 3_600_000

/** Section `discovery`, and what services say of `discover` and `depends_on`. */
export function checkDiscovery(decoded: Decoded, report: Report): void {
  const { discovery, services } = decoded.config
  for (const [i, entry] of discovery.allow.entries()) {
    if (!isAddressRange(entry))
      report.problem(
        ["discovery", "allow", i],
        "expected an address or a CIDR range, such as 10.0.0.0/8",
        entry,
      )
  }
  for (const [i, server] of discovery.dns_servers.entries()) {
    if (parseServer(server) === undefined)
      report.problem(
        ["discovery", "dns_servers", i],
        "expected an IP address, or one with a port, such as 10.0.0.53:53 or [fd00::53]:53",
        server,
      )
  }
  if (discovery.routes !== undefined) {
    const parts = discovery.routes.split("{service}")
    const pattern = parsePattern(parts.join("service"))
    const problem =
      parts.length !== 2 || !parts[0]!.endsWith("/") || /^[^/]/.test(parts[1]!)
        ? "must have {service} as one of its segments, as in /api/v1/{service}/*"
        : typeof pattern === "string"
          ? pattern
          : undefined
    if (problem !== undefined) report.problem(["discovery", "routes"], problem, discovery.routes)
  }
  for (const [name, service] of Object.entries(services)) {
    checkDiscover(decoded, service, ["services", name], report)
    checkDependencies(decoded, name, ["services", name, "depends_on"], report)
  }
}

/** Whether instances of the service may be found. */
export function isDiscovered({ discover }: ServiceConfig): boolean {
  return (
    discover !== undefined && (discover.registry || discover.dns !== undefined || discover.file !== undefined)
  )
}

function checkDiscover(decoded: Decoded, service: ServiceConfig, at: Path, report: Report): void {
  const { discover } = service
  if (discover === undefined) {
    if (service.instances.length === 0)
      report.problem(
        [...at, "instances"],
        "the service has no instance; list one, or say where to `discover` them",
      )
    return
  }
  if (!isDiscovered(service))
    report.problem([...at, "discover"], "names no source: write `registry: true`, `file` or `dns`")
  const { dns } = discover
  if (dns === undefined) return
  const place = (key: string): Path => [...at, "discover", "dns", key]
  if (isIP(dns.name) !== 0)
    report.problem(place("name"), "is an address, not a name; write it under `instances`", dns.name)
  if (dns.type !== "SRV" && dns.port === undefined)
    report.problem(place("port"), `${dns.type} records have no port; say which one the instances listen on`)
  if (dns.type === "SRV" && dns.port !== undefined)
    report.problem(place("port"), "SRV records say the port themselves; leave it out", dns.port)
  if (dns.refresh < SECOND_MS || dns.refresh > HOUR_MS)
    report.problem(place("refresh"), "must be from 1s to 1h", durationText(dns.refresh))
  if (dns.type !== "SRV" && decoded.isWritten(place("refresh")))
    report.warning(place("refresh"), `has no effect: ${dns.type} records say how long they hold`)
  if (service.tls?.verify === true && service.tls.server_name === undefined)
    report.problem(
      [...at, "tls", "server_name"],
      "found instances are addresses, which certificates do not name; say the name to verify",
    )
}

function checkDependencies(decoded: Decoded, name: string, at: Path, report: Report): void {
  const { services, discovery } = decoded.config
  const seen = new Set<string>()
  for (const [i, { service }] of services[name]!.depends_on.entries()) {
    const place: Path = [...at, i, "service"]
    if (service === name) report.problem(place, "a service cannot depend on itself")
    else if (seen.has(service)) report.problem(place, `${service} is named twice`)
    // Others may be registered later.
    else if (discovery.routes === undefined) checkServiceName(decoded, service, place, report)
    seen.add(service)
  }
  const circle = findCircle(services, name)
  // Once for each circle: at its first name.
  if (circle?.every((each) => name <= each))
    report.problem(at, `dependencies go in a circle: ${[...circle, name].join(" → ")}`)
}

/** The shortest way from a service to itself. */
function findCircle(services: Readonly<Record<string, ServiceConfig>>, from: string): string[] | undefined {
  const cameFrom = new Map<string, string | undefined>([[from, undefined]])
  const queue = [from]
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    if (!Object.hasOwn(services, name)) continue
    for (const { service } of services[name]!.depends_on) {
      if (service === from && name !== from) {
        const way: string[] = []
        for (let at: string | undefined = name; at !== undefined; at = cameFrom.get(at)) way.unshift(at)
        return way
      }
      if (cameFrom.has(service)) continue
      cameFrom.set(service, name)
      queue.push(service)
    }
  }
  return undefined
}
