import type { RelayCounters } from "../realtime/relay.ts"
import type { Instance } from "../upstream/instance.ts"
import type { Runtime } from "./runtime.ts"

/** An open relay is a request in flight to its instance, for balancing and for draining it. */
export class InstanceRelay implements RelayCounters {
  readonly #instance: Instance
  readonly #runtime: Runtime

  constructor(instance: Instance, runtime: Runtime) {
    this.#instance = instance
    this.#runtime = runtime
  }

  opened(): void {
    this.#instance.begin()
    this.#runtime.onRelay(1)
  }

  closed(): void {
    this.#instance.end()
    this.#runtime.onRelay(-1)
  }

  received(bytes: number): void {
    this.#runtime.onRelayed("from_client", bytes)
  }

  sent(bytes: number): void {
    this.#runtime.onRelayed("to_client", bytes)
  }
}
