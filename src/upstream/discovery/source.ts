/** Another service that one needs. */
export interface Dependency {
  /** Its name. */
  readonly service: string
  /** hard: without it the service cannot work. soft: it works, but not as well. */
  readonly kind: "hard" | "soft"
}

/** One instance some source knows. */
export interface FoundInstance {
  /** As in config: http://host:port. */
  readonly url: string
  /** Share of traffic relative to the others: 1 to 256. */
  readonly weight: number
  /** Where it runs; "": unknown. */
  readonly zone: string
  readonly tags: readonly string[]
  /** It finishes what it has and gets nothing new. */
  readonly draining: boolean
}

/** How a source says an instance is to be checked. */
export interface FoundCheck {
  /** Path asked by GET, with its leading slash. */
  readonly path: string
  /** Milliseconds. */
  readonly interval: number
}

/** All a source knows of one service. */
export interface FoundService {
  readonly name: string
  readonly instances: readonly FoundInstance[]
  readonly dependsOn: readonly Dependency[]
  /** Used where config has no `health` for the service; `undefined`: the source does not say. */
  readonly check: FoundCheck | undefined
}

/**
 * Somewhere instances are known: the registry, DNS, a file; Consul or Kubernetes would be one file more. A source
 * says what it was told; whether an address may be asked at all is decided by who merges the sources.
 */
export interface DiscoverySource {
  /** For the log and for metrics: a fixed word, e.g. "registry". */
  readonly name: string
  /**
   * Starts; calls `changed` with all it knows whenever that changes, never twice with the same. Errors are its own
   * to log and survive: what was known last stays.
   */
  start(changed: (services: readonly FoundService[]) => void): void
  /** No call follows. */
  close(): void
}
