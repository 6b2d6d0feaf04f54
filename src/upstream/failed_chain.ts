import { type Described, describeHealth } from "./describe.ts"

/** What was found holds for so long: under load thousands of requests fail for the same cause. */
const HOLDS_MS = 250

/** Names the way from a service that cannot answer to what it depends on that is at fault. One of a worker. */
export class FailedChains {
  readonly #known = new Map<
    string,
    { readonly until: number; readonly chain: readonly string[] | undefined }
  >()

  /** `undefined`: nothing it depends on is at fault. */
  of(service: string, scope: Described): readonly string[] | undefined {
    const config = scope.services[service]
    if (config === undefined || config.depends_on.length === 0) return undefined
    const known = this.#known.get(service)
    if (known !== undefined && known.until > scope.now) return known.chain
    const health = describeHealth(service, scope)
    const chain = health?.status === "down" && health.chain.length > 1 ? health.chain : undefined
    // As many as there are services with dependencies; those of older configurations go now and then.
    if (this.#known.size >= 1024) this.#known.clear()
    this.#known.set(service, { until: scope.now + HOLDS_MS, chain })
    return chain
  }
}
