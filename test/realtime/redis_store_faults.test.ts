import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { type ChannelStore, ChannelStoreError } from "../../src/realtime/channels/channel_store.ts"
import { ChannelReader } from "../support/channel_reader.ts"
import { type ChannelVm, oneServer, startChannelVm } from "../support/channel_vm.ts"
import { endRedis, startRedis } from "../support/redis.ts"
import { clusterConfig, startCluster, startSentinel } from "../support/redis_topologies.ts"
import { until, untilAsked } from "../support/until.ts"

setDefaultTimeout(30_000)

const CHANNEL = "room:1"
const KEPT = { size: 10_000, ttlMs: 600_000 }
const vms: ChannelVm[] = []

afterEach(async () => {
  for (const vm of vms.splice(0)) await vm.close()
  await endRedis()
})

async function start(...args: Parameters<typeof startChannelVm>): Promise<ChannelVm> {
  const vm = await startChannelVm(...args)
  vms.push(vm)
  return vm
}

async function startReader(...args: Parameters<typeof startChannelVm>) {
  const vm = await start(...args)
  const reader = new ChannelReader()
  await reader.begin(vm.store, CHANNEL)
  return { ...vm, reader }
}

const message = (data: number, key?: string) => ({ data: String(data), publisher: undefined, key })
const numbers = (reader: ChannelReader) => reader.got.map(({ data }) => Number(data))
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

/** Publishes until it is accepted, as a client does that was told to try again. */
async function publishSurely(store: ChannelStore, number: number): Promise<void> {
  for (;;)
    try {
      await store.publish(CHANNEL, message(number, `n${number}`), KEPT)
      return
    } catch (error) {
      if (!(error instanceof ChannelStoreError)) throw error
      await Bun.sleep(10)
    }
}

test("[T-3.3] two gateways publish to a channel at the same time, and both hear one order", async () => {
  const { url } = await startRedis()
  const [a, b] = [await startReader(oneServer(url)), await startReader(oneServer(url))]
  await Promise.all(
    upTo(300).flatMap((i) => [
      a.store.publish(CHANNEL, message(i), KEPT),
      b.store.publish(CHANNEL, message(-i), KEPT),
    ]),
  )
  await until(() => a.reader.got.length === 600 && b.reader.got.length === 600, "all to be heard")
  expect(a.reader.got).toEqual(b.reader.got)
  expect(a.reader.got.map(({ offset }) => offset)).toEqual(upTo(600))
  expect(numbers(a.reader).filter((each) => each > 0)).toEqual(upTo(300))
})

test("what was published while the connection for subscriptions was cut is made good, in order", async () => {
  const { url, client } = await startRedis()
  const [a, b] = [await startReader(oneServer(url)), await startReader(oneServer(url))]
  for (const i of upTo(200)) {
    await a.store.publish(CHANNEL, message(i), KEPT)
    if (i % 50 === 0) b.cut()
    if (i % 70 === 0) await client.client("KILL", "TYPE", "PUBSUB")
  }
  await until(() => a.reader.got.length >= 200 && b.reader.got.length >= 200, "all to be heard")
  expect(numbers(a.reader)).toEqual(upTo(200))
  expect(numbers(b.reader)).toEqual(upTo(200))
  expect(a.reader.recoveries + b.reader.recoveries).toBe(0)
})

test("[F-40] with an append-only file nothing accepted is lost when Redis is killed again and again, and nobody begins anew", async () => {
  const server = await startRedis(["appendonly yes", "appendfsync always"])
  const [a, b] = [await startReader(oneServer(server.url)), await startReader(oneServer(server.url))]
  const publishing = (async () => {
    for (const i of upTo(400)) await publishSurely(i % 2 === 0 ? a.store : b.store, i)
  })()
  for (const many of [100, 200, 300]) {
    await until(() => a.reader.got.length >= many, `${many} publications`)
    await server.kill()
    await server.start()
  }
  await publishing
  await until(() => a.reader.got.length >= 400 && b.reader.got.length >= 400, "all to be heard")
  expect(numbers(a.reader)).toEqual(upTo(400))
  expect(numbers(b.reader)).toEqual(upTo(400))
  expect(a.reader.got.map(({ offset }) => offset)).toEqual(upTo(400))
  expect([a.reader.anew, b.reader.anew]).toEqual([0, 0])
  expect(a.reader.recoveries).toBeGreaterThan(0)
})

test("[F-40] after a Redis that kept nothing there is another epoch, and positions of the one before lead nowhere", async () => {
  const server = await startRedis()
  const { store, reader } = await startReader(oneServer(server.url))
  for (const i of upTo(5)) await store.publish(CHANNEL, message(i), KEPT)
  await until(() => reader.got.length === 5, "all to be heard")
  const before = reader.position!
  await server.kill()
  expect(store.publish(CHANNEL, message(6), KEPT)).rejects.toBeInstanceOf(ChannelStoreError)
  await server.start()
  await until(() => reader.anew === 1, "the loss to be told")
  await publishSurely(store, 7)
  await until(() => reader.got.length === 6, "the next")
  expect(numbers(reader).at(-1)).toBe(7)
  const found = await store.history(CHANNEL, before, 10, KEPT)
  expect(found.epoch).not.toBe(before.epoch)
  expect(found).toMatchObject({ offset: 1, complete: false })
})

test("[F-40] a Redis that comes back without its last writes gives their offsets again, in another epoch; positions before them stay good", async () => {
  const server = await startRedis()
  const { store, reader } = await startReader(oneServer(server.url))
  for (const i of upTo(5)) await store.publish(CHANNEL, message(i), KEPT)
  const { epoch } = await store.history(CHANNEL, undefined, 1, KEPT)
  // Of one whose acknowledgement was kept, while what it had acknowledged was not.
  await store.acknowledge(CHANNEL, "ann", { epoch, offset: 8 })
  await store.acknowledge(CHANNEL, "bob", { epoch, offset: 4 })
  await server.client.save()
  for (const i of [6, 7, 8]) await store.publish(CHANNEL, message(i, `n${i}`), KEPT)
  await until(() => reader.got.length === 8, "all to be heard")
  await server.kill()
  await server.start()
  await until(() => reader.anew === 1, "the loss to be told")
  expect(reader.position).toMatchObject({ offset: 5 })
  // Publishers that ask again with their keys bring it back.
  for (const i of [7, 8]) await publishSurely(store, i)
  await until(() => reader.got.length === 10, "what was published again")
  const kept = await store.history(CHANNEL, { epoch, offset: 4 }, 10, KEPT)
  expect(kept.epoch).not.toBe(epoch)
  expect(kept).toMatchObject({ complete: true, known: true })
  expect(kept.publications.map(({ offset, data }) => `${offset} ${data}`)).toEqual(["5 5", "6 7", "7 8"])
  const lost = await store.history(CHANNEL, { epoch, offset: 6 }, 10, KEPT)
  expect(lost).toMatchObject({ offset: 7, complete: false, known: false, publications: [] })
  expect(await store.cursor(CHANNEL, "ann")).toEqual({ epoch: kept.epoch, offset: 5, attempts: 0 })
  expect(await store.cursor(CHANNEL, "bob")).toEqual({ epoch: kept.epoch, offset: 4, attempts: 0 })
  const late = await store.acknowledge(CHANNEL, "bob", { epoch, offset: 3 })
  expect(late).toEqual({ epoch: kept.epoch, offset: 4, attempts: 0 })
})

test("what a connection that went silent does not tell is found out by asking, and the connection is made anew", async () => {
  const master = await startRedis()
  const replica = await startRedis([`replicaof 127.0.0.1 ${master.port}`, "repl-diskless-sync-delay 0"])
  await untilAsked(async () => (await replica.client.info()).includes("master_link_status:up"), "the replica")
  const a = await start(oneServer(master.url))
  const b = await startReader(oneServer(master.url), { fanOut: oneServer(replica.url), ticksPerSecond: 20 })
  await a.store.publish(CHANNEL, message(1), KEPT)
  await until(() => b.reader.got.length === 1, "the first")
  await replica.client.replicaof("NO", "ONE")
  for (const i of [2, 3]) await a.store.publish(CHANNEL, message(i), KEPT)
  await until(() => b.reader.got.length === 3, "what was not told")
  const connections = b.connections()
  await until(() => b.connections() > connections, "another connection")
  expect(numbers(b.reader)).toEqual([1, 2, 3])
  expect(b.reader.recoveries).toBe(0)
})

test("[F-40] a Redis that hangs makes publishing fail within 2.5 s, thousands at once, and goes on afterwards", async () => {
  const server = await startRedis()
  const { store, reader } = await startReader(oneServer(server.url))
  await store.publish(CHANNEL, message(1), KEPT)
  server.signal("SIGSTOP")
  const askedAt = performance.now()
  const results = await Promise.allSettled(
    upTo(3000).map((i) => store.publish(CHANNEL, message(i, `k${i}`), KEPT)),
  )
  expect(performance.now() - askedAt).toBeLessThan(2500)
  for (const result of results)
    expect(result.status === "rejected" && result.reason).toBeInstanceOf(ChannelStoreError)
  server.signal("SIGCONT")
  await publishSurely(store, 3001)
  await until(() => numbers(reader).includes(3001), "what was published afterwards")
  expect(reader.got.map(({ offset }) => offset)).toEqual(upTo(reader.got.length))
  expect(reader.anew).toBe(0)
})

test("members of a gateway that died leave when their time is over, and the others are told", async () => {
  const { url } = await startRedis()
  const dead = await start(oneServer(url))
  const { reader } = await startReader(oneServer(url))
  await dead.store.enter(CHANNEL, { client: "c1" }, 200, true)
  await dead.close()
  await until(() => reader.events.length === 2, "the member to leave")
  expect(reader.events).toEqual([`c1 joined ${CHANNEL}`, `c1 left ${CHANNEL}`])
})

test("in a Cluster a channel is on one node, and gateways hear of it whichever node they are connected to", async () => {
  const nodes = await startCluster()
  const [a, b] = [await startReader(clusterConfig(nodes[0]!)), await startReader(clusterConfig(nodes[2]!))]
  for (const i of upTo(100)) await (i % 2 === 0 ? a : b).store.publish(CHANNEL, message(i, `k${i}`), KEPT)
  await until(() => a.reader.got.length === 100 && b.reader.got.length === 100, "all to be heard")
  expect(numbers(a.reader)).toEqual(upTo(100))
  expect(numbers(b.reader)).toEqual(upTo(100))
  await a.store.enter(CHANNEL, { client: "c1" }, 60_000, true)
  await b.store.acknowledge(CHANNEL, "ann", b.reader.position!)
  expect(await b.store.members(CHANNEL, 10)).toEqual([{ client: "c1" }])
  const sizes = await Promise.all(nodes.map(({ client }) => client.dbsize()))
  expect(sizes.filter((size) => size > 0)).toHaveLength(1)
})

test("[F-41] when the master is killed, channels go on with Sentinel's next one, and no position is good that it does not know", async () => {
  const { master, replica, config } = await startSentinel()
  const [a, b] = [await startReader(config), await startReader(config)]
  for (const i of upTo(5)) await a.store.publish(CHANNEL, message(i), KEPT)
  await until(() => b.reader.got.length === 5, "all to be heard")
  await untilAsked(
    async () => (await replica.client.xlen(`{gatehouse:channel:${CHANNEL}}:log`)) === 5,
    "replication",
  )
  const common = b.reader.position!
  // What the replica does not get any more is lost.
  await replica.client.replicaof("127.0.0.1", 1)
  for (const i of [6, 7]) await a.store.publish(CHANNEL, message(i), KEPT)
  await until(() => b.reader.got.length === 7, "what will be lost")
  const ahead = b.reader.position!
  await a.store.acknowledge(CHANNEL, "ann", ahead)
  await master.kill()
  await untilAsked(async () => (await replica.client.role())[0] === "master", "Sentinel to choose")
  for (const i of [8, 9, 10]) await publishSurely(a.store, i)
  await until(
    () => b.reader.position?.epoch !== common.epoch && b.reader.position?.offset === 8,
    "the next one",
  )
  const known = await b.store.history(CHANNEL, common, 10, KEPT)
  expect(known.epoch).not.toBe(common.epoch)
  expect(known.complete).toBe(true)
  expect(known.publications.map(({ data }) => data)).toEqual(["8", "9", "10"])
  expect(await b.store.history(CHANNEL, ahead, 10, KEPT)).toMatchObject({ complete: false, publications: [] })
})
