import type { Clock } from "../../lib/clock.ts"
import { isIPv6 } from "../../lib/ip.ts"
import type { Log } from "../../observe/log.ts"
import type { DnsClient, SrvRecord } from "./resolver.ts"
import type { DnsConfig } from "./settings.ts"
import type { DiscoverySource, FoundInstance, FoundService } from "./source.ts"

export interface DnsSourceParts {
  readonly service: string
  readonly config: DnsConfig
  /** Whether instances are asked by https. */
  readonly tls: boolean
  readonly client: DnsClient
  readonly now: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** Runs something once after so many ms; what it returns takes it back. */
  readonly after: (ms: number, run: () => void) => () => void
  readonly log: Log
  /** A lookup has failed. */
  readonly onFailed: () => void
}

/** However long or short a record says it holds. */
const SHORTEST_MS = 1000
const LONGEST_MS = 3_600_000
/** Share of the wait by which it may be longer, so that gateways do not ask in step. Never shorter: the answer holds. */
const JITTER = 0.1
/** Longest wait after a failed lookup; the first is `SHORTEST_MS`, and each is twice the one before. */
const LONGEST_RETRY_MS = 30_000
const MAX_WEIGHT = 256

interface Lookup {
  readonly instances: readonly FoundInstance[]
  /** Milliseconds the answer holds. */
  readonly holdsMs: number
}

/**
 * Instances of one service that a name server knows. One lookup at a time; while lookups fail, or the name is not
 * known any more, what was found last stays for `stale`.
 */
export class DnsSource implements DiscoverySource {
  readonly name = "dns"
  readonly #parts: DnsSourceParts
  #changed: (services: readonly FoundService[]) => void = () => undefined
  #told: string | undefined
  #foundAt = Number.NEGATIVE_INFINITY
  #failures = 0
  /** Addresses of the targets of SRV records, as found last. */
  #targets = new Map<string, readonly string[]>()
  #cancel: () => void = () => undefined
  #closed = false

  constructor(parts: DnsSourceParts) {
    this.#parts = parts
  }

  start(changed: (services: readonly FoundService[]) => void): void {
    this.#changed = changed
    void this.#run()
  }

  close(): void {
    this.#closed = true
    this.#cancel()
  }

  async #run(): Promise<void> {
    const { after, random } = this.#parts
    let waitMs: number
    try {
      const { instances, holdsMs } = await this.#lookUp()
      if (this.#closed) return
      this.#found(instances)
      waitMs = Math.min(Math.max(holdsMs, SHORTEST_MS), LONGEST_MS)
    } catch (error) {
      if (this.#closed) return
      waitMs = this.#failed(error as Error)
    }
    this.#cancel = after(waitMs * (1 + JITTER * random()), () => void this.#run())
  }

  #found(instances: readonly FoundInstance[]): void {
    const { service, now, log } = this.#parts
    if (this.#failures > 0) log.info("discovery.recovered", { source: this.name, service })
    this.#failures = 0
    this.#foundAt = now()
    this.#tell(instances)
  }

  /** Returns how long to wait. */
  #failed(error: Error): number {
    const { service, config, now, log, onFailed } = this.#parts
    onFailed()
    if (this.#failures++ === 0)
      log.warn("discovery.failing", { source: this.name, service, reason: error.message })
    if (this.#told !== undefined && now() - this.#foundAt >= config.stale) this.#tell([])
    return Math.min(SHORTEST_MS * 2 ** Math.min(this.#failures - 1, 16), LONGEST_RETRY_MS)
  }

  #tell(instances: readonly FoundInstance[]): void {
    const sorted = instances.toSorted((a, b) => (a.url < b.url ? -1 : 1))
    const told = JSON.stringify(sorted)
    if (told === this.#told) return
    this.#told = told
    this.#changed([{ name: this.#parts.service, instances: sorted, dependsOn: [], check: undefined }])
  }

  async #lookUp(): Promise<Lookup> {
    const { config, client } = this.#parts
    if (config.type === "SRV") {
      const instances = await this.#lookUpSrv(await client.srv(config.name))
      return { instances, holdsMs: config.refresh }
    }
    const { addresses, ttlMs } = await client.addresses(config.name, config.type)
    return { instances: addresses.map((each) => this.#instance(each, config.port!, 1)), holdsMs: ttlMs }
  }

  async #lookUpSrv(records: readonly SrvRecord[]): Promise<readonly FoundInstance[]> {
    // A target that is the root says that there is no such service (RFC 2782).
    const offered = records.filter(({ name }) => name !== "" && name !== ".")
    const priority = Math.min(...offered.map((each) => each.priority))
    const first = offered.filter((each) => each.priority === priority)
    const names = [...new Set(first.map(({ name }) => name))]
    const found = await Promise.all(names.map(async (name) => [name, await this.#addressesOf(name)] as const))
    this.#targets = new Map(found)
    const heaviest = Math.max(...first.map(({ weight }) => weight))
    const scale = heaviest > MAX_WEIGHT ? MAX_WEIGHT / heaviest : 1
    return first.flatMap(({ name, port, weight }) =>
      this.#targets
        .get(name)!
        .map((each) => this.#instance(each, port, Math.max(1, Math.round(weight * scale)))),
    )
  }

  /** Those found last where its lookup fails. Rejects when there never were any. */
  async #addressesOf(name: string): Promise<readonly string[]> {
    const { client } = this.#parts
    try {
      return (await client.addresses(name, "A")).addresses
    } catch (error) {
      const six = await client.addresses(name, "AAAA").catch(() => undefined)
      const known = six?.addresses ?? this.#targets.get(name)
      if (known === undefined) throw error
      return known
    }
  }

  #instance(address: string, port: number, weight: number): FoundInstance {
    const host = isIPv6(address) ? `[${address}]` : address
    const url = `${this.#parts.tls ? "https" : "http"}://${host}:${port}`
    return { url, weight, zone: "", tags: [], draining: false }
  }
}
