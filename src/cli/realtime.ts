import type { Config } from "../config/schema.ts"
import type { Questions } from "../gateway/questions.ts"
import { StartError } from "../gateway/supervisor.ts"
import type { Authenticator } from "../identity/authenticator.ts"
import { now } from "../lib/clock.ts"
import type { Counts } from "../observe/counts.ts"
import type { Log } from "../observe/log.ts"
import { CRITICAL } from "../observe/priority.ts"
import { createCallService } from "../realtime/channels/call_service.ts"
import { Hub } from "../realtime/channels/hub.ts"
import { Link } from "../realtime/channels/link.ts"
import { Realtime } from "../realtime/channels/realtime.ts"
import { publishOn, type TopicServer } from "../realtime/socket.ts"
import type { Redis } from "../store/redis.ts"
import type { Service } from "../upstream/upstreams.ts"
import { createChannelStore } from "./channel_store.ts"

/** 128 bits nobody can guess. */
const newId = (): string => Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString("base64url")

/** Channels of a worker. */
export function createRealtime(parts: {
  readonly worker: number
  readonly identity: Authenticator
  readonly questions: Questions
  /** Listeners of the door. */
  readonly servers: ReadonlySet<TopicServer>
  /** A service as it is now. */
  readonly service: (name: string) => Service | undefined
  readonly log: Log
}): Realtime {
  const { worker, identity, questions, servers, service, log } = parts
  return new Realtime({
    link: new Link(worker, (question) => questions.ask(question)),
    identity: {
      async verify(token, address) {
        const found = await identity.verify(token, address)
        if (found.kind === "principal") return found.principal
        return found.kind === "unavailable" ? "unavailable" : "invalid"
      },
      isRevoked: (principal) => identity.isRevoked(principal),
    },
    call: createCallService(service, now),
    safety: {
      worker,
      ask: (question) => questions.ask(question),
      call: createCallService(service, now, CRITICAL),
    },
    now,
    wallClock: Date.now,
    newId,
    publish(topic, frame) {
      for (const server of servers) publishOn(server, topic, frame)
    },
    log,
  })
}

export interface OpenChannels {
  readonly hub: Hub
  close(): Promise<void>
}

const TICK_MS = 1000

/** The hub of the control plane. Throws `StartError` when its store cannot be opened. */
export async function openChannels(
  config: Pick<Config, "realtime" | "redis">,
  { redis, counts, log }: { readonly redis: Redis | undefined; readonly counts: Counts; readonly log: Log },
): Promise<OpenChannels> {
  const { store, sweep } = createChannelStore(config, { redis, newId, log })
  const hub = new Hub({
    store,
    now,
    wallClock: Date.now,
    newId,
    soon: setImmediate,
    log,
    onPublished: (namespace, result) =>
      counts.add("gatehouse_realtime_publications_total", { namespace, result }),
    onRedelivered: (namespace) => counts.add("gatehouse_realtime_redeliveries_total", { namespace }),
    onBuried: (namespace, reason) =>
      counts.add("gatehouse_realtime_dead_letters_total", { namespace, reason }),
    onClosed: (code) => counts.add("gatehouse_realtime_closed_total", { code: `${code}` }),
    random: Math.random,
    onForwarded: (namespace, result) =>
      counts.add("gatehouse_realtime_forwards_total", { namespace, result }),
    onForwardQueued: (namespace, change) =>
      counts.add("gatehouse_realtime_forward_queue", { namespace }, change),
  })
  try {
    await hub.open()
  } catch (error) {
    throw new StartError(`opening channels: ${(error as Error).message}`)
  }
  let connections = 0
  const tick = setInterval(() => {
    hub.tick()
    sweep()
    counts.add("gatehouse_realtime_connections", {}, hub.connections - connections)
    connections = hub.connections
  }, TICK_MS)
  return {
    hub,
    async close() {
      clearInterval(tick)
      await hub.close()
    },
  }
}
