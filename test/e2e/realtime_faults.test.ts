import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { SECRET } from "../support/authenticator.ts"
import { Participant } from "../support/channel_participant.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { endRedis, startRedis } from "../support/redis.ts"
import { until } from "../support/until.ts"

/** `REALTIME_FAULTS=full`: the size the requirement names; takes minutes. */
const FULL = process.env.REALTIME_FAULTS === "full"
const CLIENTS = FULL ? 200 : 20
const CHANNELS = FULL ? 50 : 10
const MESSAGES = FULL ? 10_000 : 1000
const ROUNDS = FULL ? 12 : 3

setDefaultTimeout(FULL ? 600_000 : 60_000)
const participants: Participant[] = []
afterEach(async () => {
  for (const each of participants.splice(0)) each.close()
  await endGateways()
  await endRedis()
})

const config = (redis: string) => ({
  server: { workers: 1 },
  auth: { issuer: "gatehouse", audience: "api", secret: SECRET },
  redis,
  realtime: {
    rate: "10000/s",
    max_connections_per_ip: 1000,
    namespaces: {
      session: {
        subscribe: {},
        publish: {},
        delivery: "at_least_once",
        ack_timeout: "2s",
        max_deliveries: 1000,
        history: { size: 10_000, ttl: "1h" },
      },
    },
  },
})

const numbersUpTo = (count: number) => Array.from({ length: count }, (_, i) => i)

test(`[T-3.3 T-3.5] [F-40] ${CLIENTS} clients of 3 gateways get each of ${MESSAGES} messages in order while gateways, Redis and connections are killed`, async () => {
  const redis = await startRedis(["appendonly yes", "appendfsync always"])
  const start = () => startGateway(config(redis.url))
  const gateways: GatewayProcess[] = await Promise.all([start(), start(), start()])
  let turn = 0
  const url = () => `ws://127.0.0.1:${gateways[turn++ % 3]!.port}/api/v1/realtime`
  const channels = numbersUpTo(CHANNELS).map((i) => `session:${i}`)
  for (const i of numbersUpTo(CLIENTS)) {
    const own = numbersUpTo(5).map((n) => channels[(i + n * 2) % CHANNELS]!)
    participants.push(new Participant(`user${i}`, own, url))
  }
  await until(() => participants.every(({ subscribed }) => subscribed), "all to be subscribed")

  let accepted = 0
  const perChannel = MESSAGES / CHANNELS
  const publishing = Promise.all(
    channels.map(async (channel, i) => {
      const publisher = participants[i]!
      for (const n of numbersUpTo(perChannel)) {
        await publisher.publish(channel, n, `${channel}-${n}`)
        accepted++
      }
    }),
  )
  // Each round strikes while messages flow: it waits for its part of them first.
  for (const round of numbersUpTo(ROUNDS)) {
    const reached = async (part: number) =>
      until(() => accepted >= ((round + part) / (ROUNDS + 0.5)) * MESSAGES, "messages to flow", 120_000)
    await reached(0.1)
    const struck = round % 3
    gateways[struck]!.signal("SIGKILL")
    const replacement = start()
    await reached(0.4)
    await redis.kill()
    for (const each of participants.filter((_, i) => i % 4 === round % 4)) each.cut()
    await redis.start()
    await reached(0.7)
    await redis.client.call("CLIENT", "KILL", "TYPE", round % 2 === 0 ? "pubsub" : "normal")
    gateways[struck] = await replacement
  }
  await publishing
  const complete = () =>
    participants.every(({ taken }) => [...taken.values()].every(({ data }) => data.length >= perChannel))
  await until(
    () => complete() || participants.some(({ wrong }) => wrong.length > 0),
    "all messages everywhere",
    120_000,
  )

  expect(participants.flatMap(({ wrong }) => wrong)).toEqual([])
  for (const { taken } of participants)
    for (const { data } of taken.values()) expect(data).toEqual(numbersUpTo(perChannel))
  if (FULL) {
    const deliveries = CLIENTS * 5 * perChannel
    const duplicates = participants.reduce((sum, each) => sum + each.duplicates, 0)
    process.stdout.write(`${deliveries} deliveries, ${duplicates} duplicates that clients removed\n`)
  }
})
