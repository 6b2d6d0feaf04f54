import type { Config } from "../config/schema.ts"
import type { Clock } from "../lib/clock.ts"
import type { Counts } from "../observe/counts.ts"
import type { Log } from "../observe/log.ts"
import { DnsSource } from "../upstream/discovery/dns_source.ts"
import { createDnsClient } from "../upstream/discovery/resolver.ts"
import type { SourcePlan } from "./discovery_keeper.ts"
import { FileSource } from "./file_source.ts"
import type { After } from "./supervisor.ts"

export interface SourceDeps {
  readonly now: Clock
  readonly after: After
  readonly log: Log
  readonly counts: Counts
}

/** The sources services ask for one by one. One for Consul or Kubernetes would be one entry more. */
export function planSources(config: Config, deps: SourceDeps): readonly SourcePlan[] {
  const plans: SourcePlan[] = []
  const { dns_servers: servers } = config.discovery
  for (const [service, { discover, tls }] of Object.entries(config.services)) {
    if (discover?.file !== undefined) {
      const path = discover.file
      const parts = { service, path, log: deps.log, onFailed: failed("file", deps) }
      plans.push({
        key: JSON.stringify(["file", service, path]),
        source: "file",
        service,
        create: () => new FileSource(parts),
      })
    }
    if (discover?.dns !== undefined) {
      const { dns } = discover
      const https = tls !== undefined
      plans.push({
        key: JSON.stringify(["dns", service, dns, https, servers]),
        source: "dns",
        service,
        create: () =>
          new DnsSource({
            ...deps,
            service,
            config: dns,
            tls: https,
            client: createDnsClient(servers),
            random: Math.random,
            onFailed: failed("dns", deps),
          }),
      })
    }
  }
  return plans
}

const failed =
  (source: string, { counts }: SourceDeps) =>
  () =>
    counts.add("gatehouse_discovery_updates_total", { source, result: "failed" })
