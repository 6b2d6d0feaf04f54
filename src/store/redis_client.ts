import type { Redis as Client, Cluster, RedisOptions } from "ioredis"
import { late } from "../lib/late.ts"
import type { RedisSettings } from "./redis_settings.ts"

/** Answers as they always were; the type of a client depends on it. */
type Legacy = { readonly replyMapping: "legacy" }

/** Longest pause between attempts to connect. */
const LONGEST_PAUSE_MS = 1000

/** Before an attempt to connect, counted from 1. */
export function pauseMs(attempt: number, random: () => number): number {
  return Math.min(LONGEST_PAUSE_MS, 50 * 2 ** Math.min(attempt, 10)) * (0.5 + random() / 2)
}

/**
 * A client for commands that begins to connect, again and again. Throws when the file of authorities cannot be read.
 * The library is loaded here, as most gateways need none.
 */
export async function openClient(settings: RedisSettings, random: () => number): Promise<Client | Cluster> {
  const { Cluster, Redis: Client } = await import("ioredis")
  const { target, sentinelPassword, connectTimeoutMs } = settings
  const pause = (attempt: number): number => pauseMs(attempt, random)
  const { ca, tls } = tlsOf(settings)
  const common: RedisOptions & Legacy = {
    ...commonOf(settings),
    // A master that has become a replica stays one: look for the new one.
    reconnectOnError: ({ message }) => message.includes("READONLY"),
    retryStrategy: pause,
  }
  switch (target.kind) {
    case "server":
      return new Client(target.url, {
        ...common,
        ...(settings.ca !== undefined && { tls: ca }),
        enableAutoPipelining: true,
      })
    case "sentinel":
      return new Client({
        ...common,
        ...tls,
        enableAutoPipelining: true,
        sentinels: target.sentinels.map((each) => ({ ...each })),
        name: target.name,
        ...(sentinelPassword !== undefined && { sentinelPassword }),
        enableTLSForSentinelMode: settings.tls,
        sentinelRetryStrategy: pause,
        failoverDetector: true,
      })
    case "cluster":
      return new Cluster(
        target.nodes.map((each) => ({ ...each })),
        {
          enableOfflineQueue: false,
          enableAutoPipelining: true,
          clusterRetryStrategy: pause,
          redisOptions: { ...common, ...tls },
          slotsRefreshTimeout: connectTimeoutMs,
        },
      )
  }
}

/**
 * One connection for subscriptions, which ends when it breaks. Of a Cluster it is one to any of the nodes config names,
 * the next at each attempt (counted from 1): what is published goes to all. Throws as `openClient` does.
 */
export async function openSubscriberClient(settings: RedisSettings, attempt: number): Promise<Client> {
  const { Redis: Client } = await import("ioredis")
  const { target, sentinelPassword } = settings
  const { ca, tls } = tlsOf(settings)
  const common: RedisOptions & Legacy = {
    ...commonOf(settings),
    autoResubscribe: false,
    retryStrategy: () => null,
  }
  switch (target.kind) {
    case "server":
      return new Client(target.url, { ...common, ...(settings.ca !== undefined && { tls: ca }) })
    case "sentinel":
      return new Client({
        ...common,
        ...tls,
        sentinels: target.sentinels.map((each) => ({ ...each })),
        name: target.name,
        ...(sentinelPassword !== undefined && { sentinelPassword }),
        enableTLSForSentinelMode: settings.tls,
        sentinelRetryStrategy: () => null,
        failoverDetector: true,
      })
    case "cluster":
      return new Client({ ...common, ...tls, ...target.nodes[attempt % target.nodes.length]! })
  }
}

function commonOf({ username, password, connectTimeoutMs }: RedisSettings): RedisOptions & Legacy {
  return {
    replyMapping: "legacy",
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    connectTimeout: connectTimeoutMs,
    connectionName: "gatehouse",
    enableOfflineQueue: false,
    // Ends what is under way whenever the connection breaks; it must not be sent twice.
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
  }
}

function tlsOf(settings: RedisSettings): {
  readonly ca: { readonly ca?: string }
  readonly tls: Pick<RedisOptions, "tls">
} {
  const ca = settings.ca === undefined ? {} : { ca: late.fs.readFileSync(settings.ca, "utf8") }
  return { ca, tls: settings.tls ? { tls: ca } : {} }
}
