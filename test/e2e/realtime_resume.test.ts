import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import { connect, type Position, type RealtimeClient } from "../../src/client/connect.ts"
import { accessToken } from "../support/access_token.ts"
import { SECRET } from "../support/authenticator.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { endRedis, startRedis } from "../support/redis.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(60_000)

const END_WORKER = join(import.meta.dir, "../support/end_worker_on_signal.ts")
const CHANNELS = ["session:1", "kept:1"] as const
const clients: RealtimeClient[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await endGateways()
  await endRedis()
})

const access = { subscribe: {}, publish: {}, history: { size: 10_000 } }
const config = {
  auth: { issuer: "gatehouse", audience: "api", secret: SECRET },
  realtime: {
    rate: "1000/s",
    namespaces: { session: access, kept: { ...access, delivery: "at_least_once", ack_timeout: "1s" } },
  },
}

function open({ url }: GatewayProcess, id: string): RealtimeClient {
  const token = accessToken({ id, tokenId: `token-${id}` })
  const client = connect(`${url}/api/v1/realtime`, { token, backoffMs: 20, maxBackoffMs: 200 })
  clients.push(client)
  return client
}

/** A user with all channels, and what came of each; it may be interrupted, but nothing may be lost. */
function read(gateway: GatewayProcess, id: string) {
  const client = open(gateway, id)
  const lost: unknown[] = []
  const connections: string[] = []
  client.on("connected", (connection) => connections.push(connection.client))
  const heard = CHANNELS.map((channel) => {
    const subscription = client.subscribe<number>(channel)
    const data: number[] = []
    subscription.on("publication", async (publication) => void data.push(publication.data))
    subscription.on("lost", (what) => lost.push(what))
    return { subscription, data }
  })
  return {
    heard,
    lost,
    connections,
    listening: () => heard.every(({ subscription }) => subscription.state === "subscribed"),
    has: (count: number) => heard.every(({ data }) => data.length >= count),
  }
}

/** Publishes 1, 2, 3, … to all channels, the next when the one before was accepted, until it is stopped. */
function write(gateway: GatewayProcess) {
  const client = open(gateway, "writer")
  let accepted = 0
  let stopped = false
  const done = (async () => {
    while (!stopped) {
      await Promise.all(CHANNELS.map((channel) => client.publish(channel, accepted + 1)))
      accepted++
    }
  })()
  return {
    accepted: () => accepted,
    async stop(): Promise<number> {
      stopped = true
      await done
      return accepted
    },
  }
}

type Reader = ReturnType<typeof read>

async function expectAll(readers: readonly Reader[], count: number): Promise<void> {
  await until(() => readers.every((reader) => reader.has(count)), "all messages everywhere")
  const all = Array.from({ length: count }, (_, i) => i + 1)
  for (const { heard, lost } of readers) {
    expect(lost).toEqual([])
    for (const { data } of heard) expect(data).toEqual(all)
  }
}

test("[F-40] a Redis that restarts and has lost nothing costs clients no message, and they go on in its new epoch", async () => {
  const redis = await startRedis(["appendonly yes", "appendfsync always"])
  const gateway = await startGateway({ ...config, redis: redis.url })
  const readers = ["ada", "bob"].map((id) => read(gateway, id))
  await until(() => readers.every((reader) => reader.listening()), "the subscriptions")
  const writer = write(gateway)
  await until(() => writer.accepted() > 50, "messages")
  const epochs = readers[0]!.heard.map(({ subscription }) => subscription.position!.epoch)
  for (const more of [50, 50]) {
    await redis.kill()
    await redis.start()
    const before = writer.accepted()
    await until(() => writer.accepted() > before + more, "messages after the restart")
  }
  await expectAll(readers, await writer.stop())
  for (const [i, { subscription }] of readers[0]!.heard.entries())
    expect(subscription.position!.epoch).not.toBe(epochs[i]!)
})

test("[F-40] a Redis that comes back without its last writes: who had them is told of the loss, who was before them goes on", async () => {
  const redis = await startRedis()
  const gateway = await startGateway({ ...config, redis: redis.url })
  const writer = open(gateway, "writer")
  const publish = async (n: number) => (await writer.publish("session:1", n)).position
  const listen = (id: string, since?: Position) => {
    const subscription = open(gateway, id).subscribe<number>("session:1", { since })
    const data: number[] = []
    const lost: unknown[] = []
    subscription.on("publication", (publication) => data.push(publication.data))
    subscription.on("lost", (what) => lost.push(what))
    return { subscription, data, lost }
  }
  const ahead = listen("ada")
  await until(() => ahead.subscription.state === "subscribed", "the subscription")
  const before = await publish(1)
  await publish(2)
  await redis.client.save()
  const last = await publish(3)
  await until(() => ahead.data.length === 3, "all three")
  await redis.kill()
  await redis.start()
  await until(() => ahead.lost.length > 0, "the loss to be told")
  const back = listen("bob", before)
  const next = await publish(4)
  await until(() => [ahead, back].every(({ data }) => data.includes(4)), "what comes after it")
  expect(ahead.lost).toEqual([{ since: last, position: { epoch: next.epoch, offset: 2 } }])
  expect(ahead.data).toEqual([1, 2, 3, 4])
  expect(back.lost).toEqual([])
  expect(back.data).toEqual([2, 4])
})

test("a worker that dies takes its own sockets with it; they come back by the client library, and nobody loses a message", async () => {
  const gateway = await startGateway({ ...config, server: { workers: 2 } }, [
    "env",
    `BUN_OPTIONS=--preload=${END_WORKER}`,
  ])
  const readers = Array.from({ length: 12 }, (_, i) => read(gateway, `user${i}`))
  await until(() => readers.every((reader) => reader.listening()), "the subscriptions")
  const writer = write(gateway)
  await until(() => writer.accepted() > 50, "messages")
  gateway.signal("SIGUSR2")
  await until(() => gateway.log.some(({ event }) => event === "worker.lost"), "the end of a worker")
  const before = writer.accepted()
  await until(() => writer.accepted() > before + 50, "messages after it")
  await until(() => readers.some(({ connections }) => connections.length > 1), "those who lost theirs")
  await expectAll(readers, await writer.stop())
  const again = readers.filter(({ connections }) => connections.length > 1)
  expect(again.length).toBeGreaterThan(0)
  expect(again.length).toBeLessThan(readers.length)
})

test("[T-3.5] [F-48] a rolling restart on one port costs clients no message", async () => {
  const redis = await startRedis()
  const settings = { ...config, redis: redis.url }
  let gateway = await startGateway(settings)
  const readers = ["ada", "bob", "cy"].map((id) => read(gateway, id))
  await until(() => readers.every((reader) => reader.listening()), "the subscriptions")
  const writer = write(gateway)
  for (const _ of [1, 2]) {
    const before = writer.accepted()
    await until(() => writer.accepted() > before + 50, "messages")
    const next = await startGateway({ ...settings, server: { port: gateway.port } })
    gateway.signal("SIGTERM")
    expect(await gateway.exited).toBe(0)
    gateway = next
  }
  const before = writer.accepted()
  await until(() => writer.accepted() > before + 50, "messages through the last")
  await expectAll(readers, await writer.stop())
  for (const { connections } of readers) expect(connections.length).toBeGreaterThan(2)
})

/** Publishes 18 MB to a channel; resolves with its epoch. */
async function writeMuch(gateway: GatewayProcess, count: number): Promise<string> {
  const writer = open(gateway, "writer")
  const data = "x".repeat(30_000)
  const published = Array.from({ length: count }, () => writer.publish("session:1", data))
  return (await Promise.all(published))[0]!.position.epoch
}

test("[T-3.3] a client that missed far more than may wait for it is given all of it as fast as it reads, on one connection", async () => {
  const gateway = await startGateway(config)
  const count = 600
  const epoch = await writeMuch(gateway, count)
  const client = open(gateway, "ada")
  const ends: unknown[] = []
  client.on("disconnected", (end) => ends.push(end))
  const offsets: number[] = []
  const subscription = client.subscribe("session:1", { since: { epoch, offset: 0 } })
  subscription.on("publication", ({ offset }) => offsets.push(offset))
  await until(() => offsets.length === count || ends.length > 3, "all 18 MB")
  expect(ends).toEqual([])
  expect(offsets).toEqual(Array.from({ length: count }, (_, i) => i + 1))
})

test("[T-3.3] so is a reader of server-sent events", async () => {
  const gateway = await startGateway(config)
  const count = 600
  const epoch = await writeMuch(gateway, count)
  const headers = {
    authorization: `Bearer ${accessToken({ id: "ada", tokenId: "token-ada" })}`,
    "last-event-id": `${epoch}:0`,
  }
  const { body } = await fetch(`${gateway.url}/api/v1/realtime/sse?channel=session:1`, { headers })
  const decoder = new TextDecoder()
  let text = ""
  for await (const chunk of body!) {
    text += decoder.decode(chunk, { stream: true })
    if (text.includes(`id: ${epoch}:${count}\n`)) break
  }
  const offsets = [...text.matchAll(/"push":"publication","channel":"session:1","offset":(\d+)/g)]
  expect(offsets.map(([, offset]) => Number(offset))).toEqual(Array.from({ length: count }, (_, i) => i + 1))
})
