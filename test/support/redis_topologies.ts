import { type RedisServer, startRedis } from "./redis.ts"
import { untilAsked } from "./until.ts"

/** Settings of a gateway beside where its Redis is. */
const SETTINGS = { tls: false, prefix: "gatehouse", connect_timeout: 2000, command_timeout: 500 }

/**
 * A master called `main`, its replica, and a sentinel that takes the replica when the master is gone. `config`: of a
 * gateway that uses them.
 */
export async function startSentinel() {
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
  const config = { sentinels: [`127.0.0.1:${sentinel.port}`], name: "main", ...SETTINGS }
  return { master, replica, config }
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

/** Config of a gateway that finds the cluster by this node of it. */
export const clusterConfig = ({ port }: RedisServer) => ({ nodes: [`127.0.0.1:${port}`], ...SETTINGS })

/** How many keys each node has that has any. */
export async function sizesOf(nodes: readonly RedisServer[]): Promise<readonly number[]> {
  const sizes = await Promise.all(nodes.map(({ client }) => client.dbsize()))
  return sizes.filter((size) => size > 0)
}

/** The slot of a key goes to another node, without its data, as after the loss of a master and its replica; that node. */
export async function loseSlot(nodes: readonly RedisServer[], key: string): Promise<RedisServer> {
  const slot = String(await nodes[0]!.client.call("CLUSTER", "KEYSLOT", key))
  const sizes = await Promise.all(nodes.map(({ client }) => client.dbsize()))
  const from = sizes.findIndex((size) => size > 0)
  const to = nodes[(from + 1) % nodes.length]!
  const id = (await to.client.call("CLUSTER", "MYID")) as string
  await nodes[from]!.client.flushall()
  for (const { client } of nodes) await client.call("CLUSTER", "SETSLOT", slot, "NODE", id)
  return to
}
