import { parseAddress } from "./address.ts"
import { InstanceState } from "./instance_state.ts"
import type { UpstreamMemory } from "./memory.ts"
import { Pool, type PoolOptions } from "./pool.ts"
import { keepResolved, type ResolverDeps } from "./resolved_address.ts"

/** One running copy of a service, as one worker sees it: its connections, and what all threads know of it. */
export class Instance {
  readonly service: string
  /** As config writes it; for logs and metrics. */
  readonly url: string
  readonly state: InstanceState
  readonly pool: Pool
  readonly #worker: number

  /** Throws when the URL is no address. */
  constructor(
    service: string,
    url: string,
    memory: UpstreamMemory,
    slot: number,
    worker: number,
    options: PoolOptions,
    deps: ResolverDeps,
  ) {
    this.service = service
    this.url = url
    this.state = new InstanceState(memory, slot)
    this.pool = new Pool(keepResolved(parseAddress(url), deps), options, deps.now)
    this.#worker = worker
  }

  /** A request to it begins; every one must `end`. */
  begin(): void {
    this.state.begin(this.#worker)
  }

  end(): void {
    this.state.end(this.#worker)
  }
}
