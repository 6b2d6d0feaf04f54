import type { Resolver } from "node:dns/promises"
import { late } from "../../lib/late.ts"
import { parseServer } from "./dns_servers.ts"

/** Addresses of a name, and how long they hold. */
export interface FoundAddresses {
  readonly addresses: readonly string[]
  /** Milliseconds; the shortest of the records. */
  readonly ttlMs: number
}

/** RFC 2782. */
export interface SrvRecord {
  readonly name: string
  readonly port: number
  /** Lower comes first. */
  readonly priority: number
  readonly weight: number
}

/** Asks name servers. All reject with an `Error` that says why there is nothing. */
export interface DnsClient {
  addresses(name: string, type: "A" | "AAAA"): Promise<FoundAddresses>
  srv(name: string): Promise<readonly SrvRecord[]>
}

const TIMEOUT_MS = 2000
const TRIES = 2

/** `servers`: as config has them; empty: the system's. */
export function createDnsClient(servers: readonly string[]): DnsClient {
  const parsed = servers.flatMap((each) => parseServer(each) ?? [])
  // A resolver keeps answers for their TTL, and says the whole TTL again each time: a new one asks the server.
  const open = (): Resolver => {
    const resolver = new late.dns.Resolver({ timeout: TIMEOUT_MS, tries: TRIES })
    if (parsed.length > 0) resolver.setServers(parsed)
    return resolver
  }
  return {
    async addresses(name, type) {
      const resolver = open()
      const records = await (type === "A"
        ? resolver.resolve4(name, { ttl: true })
        : resolver.resolve6(name, { ttl: true }))
      return {
        addresses: records.map(({ address }) => address),
        ttlMs: 1000 * Math.min(...records.map(({ ttl }) => ttl)),
      }
    },
    srv: (name) => open().resolveSrv(name),
  }
}
