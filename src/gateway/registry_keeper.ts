import type { Config } from "../config/schema.ts"
import type { Clock } from "../lib/clock.ts"
import type { Counts } from "../observe/counts.ts"
import type { Log } from "../observe/log.ts"
import type { Redis } from "../store/redis.ts"
import { AddressRule } from "../upstream/discovery/address_rule.ts"
import { type Registered, type Registration, toRegistered } from "../upstream/discovery/registration.ts"
import { type Put, Registry } from "../upstream/discovery/registry.ts"
import type { RegistryEventType } from "../upstream/discovery/registry_events.ts"
import type { DiscoverySource } from "../upstream/discovery/source.ts"
import { RegistryFeed } from "./registry_feed.ts"
import type { RegistryNews, RegistryQuestion } from "./registry_news.ts"
import { RegistrySync } from "./registry_sync.ts"
import type { After } from "./supervisor.ts"

export interface RegistryKeeperDeps {
  /** `undefined`: config names none; this gateway is on its own. */
  readonly redis: Pick<Redis, "run" | "prefix"> | undefined
  /** The config in force. */
  readonly config: () => Config
  /** Made anew at each start: letters and digits. */
  readonly gateway: string
  readonly now: Clock
  readonly wallClock: () => number
  readonly after: After
  readonly counts: Counts
  readonly log: Log
}

export type RegisterOutcome =
  | Put
  | { readonly kind: "unfit"; readonly field: string; readonly message: string }

/** How often TTLs are looked at: an instance leaves so much later at most. */
const SWEEP_MS = 250

/** The registry at work in the control plane: told of by services and operators, shared by Redis where there is one. */
export class RegistryKeeper {
  readonly #registry: Registry
  readonly #deps: RegistryKeeperDeps
  readonly #sync: RegistrySync | undefined
  readonly #feed: RegistryFeed
  #rule: { readonly allow: readonly string[]; readonly rule: AddressRule } | undefined
  #stop = (): void => {}

  constructor(deps: RegistryKeeperDeps) {
    this.#deps = deps
    const { now, gateway, redis, after, counts, log } = deps
    this.#registry = new Registry({
      now,
      epoch: gateway,
      onEvent: (type, { service, url, id }) => {
        counts.add("gatehouse_registry_events_total", { event: type })
        tell(log, type, { service, instance: url, id })
        this.#feed.happened()
      },
    })
    this.#feed = new RegistryFeed(this.#registry, after)
    if (redis !== undefined)
      this.#sync = new RegistrySync({ redis, registry: this.#registry, gateway, now, after, log })
  }

  /** What discovery is told. */
  get source(): DiscoverySource {
    return this.#registry
  }

  /** In the order they came, service by service. */
  instances(): Iterable<Registered> {
    return this.#registry.instances()
  }

  /** Learns from Redis what others know, if it answers. Never rejects. */
  async start(): Promise<void> {
    this.#sweep()
    await this.#sync?.start()
  }

  /** What watches is sent away. */
  drain(): void {
    this.#feed.close()
  }

  /** Tells the other gateways the last. Never rejects. */
  async close(): Promise<void> {
    this.#stop()
    this.#feed.close()
    await this.#sync?.close()
  }

  /** `client`: address of the caller. */
  register(request: Registration, client: string): RegisterOutcome {
    const made = toRegistered(request, { client, rule: this.#addressRule(), at: this.#deps.wallClock() })
    if (made.kind === "unfit") return made
    const put = this.#registry.register(made.instance)
    if (put.kind !== "full") this.#sync?.registered(put.instance)
    return put
  }

  /** `undefined`: nobody knows it. */
  async heartbeat(service: string, id: string): Promise<Registered | undefined> {
    const instance = await this.#known(service, id)
    if (instance === undefined) return undefined
    this.#sync?.beat(instance)
    return this.#registry.heartbeat(service, id)
  }

  /** `undefined`: nobody knows it. */
  async deregister(service: string, id: string): Promise<Registered | undefined> {
    if ((await this.#known(service, id)) === undefined) return undefined
    const instance = this.#registry.deregister(service, id)
    if (instance !== undefined) this.#sync?.left(instance)
    return instance
  }

  /** `undefined`: nobody knows it. */
  async drainInstance(service: string, id: string, draining: boolean): Promise<Registered | undefined> {
    if ((await this.#known(service, id)) === undefined) return undefined
    const instance = this.#registry.drain(service, id, draining)
    if (instance !== undefined) this.#sync?.drained(instance)
    return instance
  }

  /** Never rejects; see RegistryFeed. */
  ask(question: RegistryQuestion): Promise<RegistryNews | undefined> {
    return this.#feed.ask(question)
  }

  /** It may have registered at another gateway just now. */
  async #known(service: string, id: string): Promise<Registered | undefined> {
    if (this.#registry.find(service, id) === undefined) await this.#sync?.round()
    return this.#registry.find(service, id)
  }

  #addressRule(): AddressRule {
    const { allow } = this.#deps.config().discovery
    if (this.#rule?.allow !== allow) this.#rule = { allow, rule: new AddressRule(allow) }
    return this.#rule.rule
  }

  #sweep(): void {
    const expired = this.#registry.expire(this.#sync?.rule ?? "alone")
    if (expired.length > 0) this.#sync?.expired(expired)
    this.#stop = this.#deps.after(SWEEP_MS, () => this.#sweep())
  }
}

function tell(
  log: Log,
  type: RegistryEventType,
  line: { service: string; instance: string; id: string },
): void {
  switch (type) {
    case "registered":
      log.info("registry.registered", line)
      return
    case "changed":
      log.info("registry.changed", line)
      return
    case "draining":
      log.warn("registry.draining", line)
      return
    case "undrained":
      log.warn("registry.undrained", line)
      return
    case "deregistered":
      log.info("registry.deregistered", line)
      return
    case "expired":
      log.warn("registry.expired", line)
      return
  }
}
