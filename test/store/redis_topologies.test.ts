import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { endBlockMachines, startBlockMachine } from "../support/block_machine.ts"
import { endMachines, sharedBucket, startMachine } from "../support/limit_machine.ts"
import { endRedis } from "../support/redis.ts"
import { clusterConfig, loseSlot, sizesOf, startCluster, startSentinel } from "../support/redis_topologies.ts"
import { registered } from "../support/registered.ts"
import { endRegistryVms, type RegistryVm, startRegistryVm } from "../support/registry_vm.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(30_000)

afterEach(async () => {
  endMachines()
  endBlockMachines()
  endRegistryVms()
  await endRedis()
})

const HOUR = sharedBucket(10 / 3600, 10)

test("[F-41] when the master is killed, Sentinel's next one is found within 5 s, and no more gets through than a limit and a bucket", async () => {
  const { master, replica, config } = await startSentinel()
  const a = await startMachine(config, 50)
  const b = await startMachine(config, 50)
  let passed = 0
  for (let i = 0; i < 5; i++) if (a.take("ann", HOUR)) passed++
  await untilAsked(async () => Number(await replica.client.dbsize()) === 2, "replication")
  await master.kill()
  for (let i = 0; i < 20; i++) if (a.take("ann", HOUR)) passed++
  await until(() => !a.redis.up && !b.redis.up, "the loss")
  await untilAsked(async () => (await replica.client.role())[0] === "master", "Sentinel to choose")
  const chosenAt = performance.now()
  await until(() => a.redis.up && b.redis.up, "the new master")
  expect(performance.now() - chosenAt).toBeLessThan(5000)
  if (b.take("ann", HOUR)) passed++
  await until(() => !b.take("ann", HOUR) || ++passed > 20, "b to have heard of a")
  expect(passed).toBeLessThanOrEqual(20)
})

test("[V-rl.7] [F-41] in a Cluster all limits are on one node, and are found where it moves to", async () => {
  const nodes = await startCluster()
  const config = clusterConfig(nodes[0]!)
  const a = await startMachine(config)
  const b = await startMachine(config)
  for (let i = 0; i < 10; i++) a.take("ann", HOUR)
  await a.sync.sync()
  expect(b.take("ann", HOUR)).toBe(true)
  await b.sync.sync()
  expect(b.take("ann", HOUR)).toBe(false)
  expect(await a.takeExactly("ann", HOUR)).toMatchObject({ allowed: false })
  expect(await sizesOf(nodes)).toEqual([2])
  const to = await loseSlot(nodes, "{gatehouse:limits}:hash_key")
  expect(b.take("bob", HOUR)).toBe(true)
  await untilAsked(async () => {
    await b.sync.sync()
    return (await to.client.dbsize()) === 2
  }, "the new node to be told")
  expect(b.redis.up).toBe(true)
})

test("[T-5.5] [F-41] in a Cluster all blocks are on one node, and are told again to the one they move to", async () => {
  const nodes = await startCluster()
  const config = clusterConfig(nodes[0]!)
  const a = await startBlockMachine(config)
  const b = await startBlockMachine(config)
  a.keeper.block("192.0.2.1", 3_600_000, "")
  await until(() => b.left("192.0.2.1") !== undefined, "b to hear of it")
  expect(await sizesOf(nodes)).toEqual([3])
  const to = await loseSlot(nodes, "{gatehouse:blocks}:states")
  await untilAsked(
    async () => (await to.client.hlen("{gatehouse:blocks}:states")) === 3,
    "the new node to be told",
  )
  b.keeper.unblock("192.0.2.1")
  await until(() => a.left("192.0.2.1") === undefined, "a to hear of its end")
})

/** Rounds of all until the condition holds. */
async function roundsUntil(vms: readonly RegistryVm[], holds: () => boolean, what: string): Promise<void> {
  await untilAsked(
    async () => {
      for (const vm of vms) await vm.sync.round()
      return holds()
    },
    what,
    15_000,
  )
}

test("[T-1.4] [F-41] when the master is killed, gateways go on with the registry and share it again by Sentinel's next one", async () => {
  const { master, replica, config } = await startSentinel()
  const a = await startRegistryVm(config, "aaaa")
  const b = await startRegistryVm(config, "bbbb")
  const [one, two, three] = [registered({ port: 1 }), registered({ port: 2 }), registered({ port: 3 })]
  a.register(one)
  b.register(two)
  await roundsUntil([a, b], () => a.known().length === 2 && b.known().length === 2, "both to know both")
  await untilAsked(async () => Number(await replica.client.dbsize()) >= 4, "replication")
  await master.kill()
  a.register(three)
  a.deregister(one)
  await until(() => !a.redis.up && !b.redis.up, "the loss")
  a.pass(60_000)
  b.pass(60_000)
  a.heartbeat(three)
  b.heartbeat(two)
  for (const vm of [a, b]) vm.sweep()
  expect(a.known()).toEqual([two.url, three.url])
  expect(b.known()).toEqual([one.url, two.url])
  await untilAsked(async () => (await replica.client.role())[0] === "master", "Sentinel to choose")
  const all = [two.url, three.url]
  const same = () => [a, b].every((vm) => Bun.deepEquals(vm.known(), all))
  await roundsUntil([a, b], same, "both to know what happened")
})

test("[T-1.4] [F-41] in a Cluster the whole registry is on one node, and is told again to the one it moves to", async () => {
  const nodes = await startCluster()
  const config = clusterConfig(nodes[0]!)
  const a = await startRegistryVm(config, "aaaa")
  const b = await startRegistryVm(config, "bbbb")
  const [one, two] = [registered({ port: 1 }), registered({ port: 2 })]
  a.register(one)
  a.drain(one, true)
  b.register(two)
  const all = [`-${one.url}`, two.url]
  const same = () => [a, b].every((vm) => Bun.deepEquals(vm.known(), all))
  await roundsUntil([a, b], same, "both to know both")
  expect(await sizesOf(nodes)).toHaveLength(1)
  const to = await loseSlot(nodes, "{gatehouse:registry}:instances")
  await untilAsked(async () => {
    for (const vm of [a, b]) await vm.sync.round()
    return (await to.client.hlen("{gatehouse:registry}:instances")) === 2
  }, "the new node to be told")
  expect(a.known()).toEqual(all)
  a.deregister(one)
  await roundsUntil([a, b], () => Bun.deepEquals(b.known(), [two.url]), "b to hear that one has left")
})
