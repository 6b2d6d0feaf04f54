import type { InstanceHealth } from "../admin/registry/port.ts"
import { Elsewhere, type ElsewhereDeps } from "../gateway/elsewhere.ts"
import { RegistryKeeper, type RegistryKeeperDeps } from "../gateway/registry_keeper.ts"
import { now } from "../lib/clock.ts"
import type { ServiceView } from "../upstream/describe.ts"
import { LONGEST_LOOK_MS } from "./shared_redis.ts"

/**
 * The registry of this process. Waits a second at most for what other gateways have in Redis, so that a gateway that
 * starts anew knows who is there before it answers.
 */
export async function openRegistry(
  deps: Pick<RegistryKeeperDeps, "redis" | "config" | "after" | "counts" | "log">,
): Promise<RegistryKeeper> {
  const registry = new RegistryKeeper({
    ...deps,
    gateway: randomName(),
    now,
    wallClock: Date.now,
  })
  await Promise.race([registry.start(), Bun.sleep(LONGEST_LOOK_MS)])
  return registry
}

/** Begins to tell other gateways what is out of order here, and to hear of them. */
export function openElsewhere(deps: Pick<ElsewhereDeps, "redis" | "services" | "after">): Elsewhere {
  const elsewhere = new Elsewhere({ ...deps, gateway: randomName(), now })
  elsewhere.start()
  return elsewhere
}

/** How an instance is by what the gateway knows of all; `undefined`: it is none of theirs. */
export function healthOf(
  services: readonly ServiceView[],
  name: string,
  url: string,
): InstanceHealth | undefined {
  const instances = services.find((each) => each.name === name)?.instances
  return instances?.find((each) => each.url === url || each.url === withoutDefaultPort(url))
}

const withoutDefaultPort = (url: string): string =>
  url.startsWith("http:") ? url.replace(/:80$/, "") : url.replace(/:443$/, "")

/** A name no other gateway has. */
const randomName = (): string => crypto.getRandomValues(Buffer.alloc(6)).toString("hex")
