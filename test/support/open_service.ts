import { now } from "../../src/lib/clock.ts"
import type { Log } from "../../src/observe/log.ts"
import { createUpstreamMemory, type UpstreamMemory } from "../../src/upstream/memory.ts"
import type { ServiceConfig } from "../../src/upstream/service.ts"
import { SlotDirectory, type Slots } from "../../src/upstream/slots.ts"
import {
  type Service,
  type UpstreamChange,
  type UpstreamDeps,
  Upstreams,
} from "../../src/upstream/upstreams.ts"
import { seededRandom, serviceConfig } from "./services.ts"

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** One service "s" as a worker has it, with what it told of. */
export class OpenService {
  readonly memory: UpstreamMemory = createUpstreamMemory(1)
  readonly config: ServiceConfig
  readonly slots: Slots
  readonly service: Service
  /** `instance kind` of each attempt. */
  readonly attempts: string[] = []
  readonly changes: UpstreamChange[] = []
  /** Waits between attempts, in milliseconds; none is really waited for. */
  readonly waits: number[] = []
  readonly #upstreams: Upstreams

  /** `file`: the service as a config file would have it. */
  constructor(file: object, deps: Partial<UpstreamDeps> = {}) {
    this.config = serviceConfig(file)
    this.slots = new SlotDirectory(this.memory, now).assign({ s: this.config })
    this.#upstreams = new Upstreams(this.memory, 0, {
      now,
      random: seededRandom(),
      log: SILENT,
      onAttempt: (_service, instance, kind) => this.attempts.push(`${instance.url} ${kind}`),
      onChange: (change) => this.changes.push(change),
      sleep: async (ms) => {
        this.waits.push(ms)
      },
      ...deps,
    })
    this.service = this.#upstreams.apply({ s: this.config }, this.slots).get("s")!
  }

  get inFlight(): number {
    return this.service.instances.reduce((sum, { state }) => sum + state.inFlight, 0)
  }

  close(): void {
    this.#upstreams.close()
  }
}
