import { type RedisServer, startRedis } from "./redis.ts"
import { untilAsked } from "./until.ts"

/** A master called `main`, its replica, and a sentinel that takes the replica when the master is gone. */
export async function startSentinel(): Promise<{
  readonly master: RedisServer
  readonly replica: RedisServer
  readonly sentinel: RedisServer
}> {
  const master = await startRedis()
  const replica = await startRedis([`replicaof 127.0.0.1 ${master.port}`, "repl-diskless-sync-delay 0"])
  const sentinel = await startRedis(
    [
      `sentinel monitor main 127.0.0.1 ${master.port} 1`,
      "sentinel down-after-milliseconds main 300",
      "sentinel failover-timeout main 3000",
    ],
    { sentinel: true },
  )
  await untilAsked(async () => (await replica.client.info()).includes("master_link_status:up"), "the replica")
  await untilAsked(
    async () => {
      const found = (await sentinel.client.call("SENTINEL", "REPLICAS", "main")) as unknown[]
      return found.length === 1
    },
    "the sentinel to find the replica",
    15_000,
  )
  return { master, replica, sentinel }
}

/** Three masters with a third of the slots each. */
export async function startCluster(): Promise<readonly RedisServer[]> {
  const settings = ["cluster-enabled yes", "cluster-node-timeout 500", "cluster-require-full-coverage no"]
  const nodes = await Promise.all([1, 2, 3].map(() => startRedis(settings)))
  const first = nodes[0]!
  for (const [i, { client, port }] of nodes.entries()) {
    await client.call(
      "CLUSTER",
      "ADDSLOTSRANGE",
      Math.floor((i * 16_384) / 3),
      Math.floor(((i + 1) * 16_384) / 3) - 1,
    )
    if (i > 0) await first.client.call("CLUSTER", "MEET", "127.0.0.1", port)
  }
  for (const { client } of nodes)
    await untilAsked(
      async () => {
        const info = (await client.call("CLUSTER", "INFO")) as string
        return info.includes("cluster_state:ok") && info.includes("cluster_slots_ok:16384")
      },
      "the cluster",
      15_000,
    )
  return nodes
}
