import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { CHANNEL_SCRIPTS } from "../../src/realtime/channels/redis_store.ts"
import type { Alarm } from "../../src/realtime/safety/alarm.ts"
import { AlarmLine } from "../../src/realtime/safety/line.ts"
import { openRedis, type Redis } from "../../src/store/redis.ts"
import { toRedisSettings } from "../../src/store/redis_settings.ts"
import { RedisSubscriber } from "../../src/store/redis_subscriber.ts"
import { oneServer } from "../support/channel_vm.ts"
import { memoryLog } from "../support/memory_log.ts"
import { endRedis, startRedis } from "../support/redis.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(30_000)
const open: { close(): void }[] = []
afterEach(async () => {
  for (const each of open.splice(0)) each.close()
  await endRedis()
})

/** The line of one gateway. */
async function startLine(url: string, wallClock: () => number = Date.now) {
  const settings = toRedisSettings(oneServer(url))
  if (typeof settings === "string") throw new Error(settings)
  const deps = { log: memoryLog(), random: () => 0, onUp: () => {} }
  const redis: Redis = await openRedis(settings, CHANNEL_SCRIPTS, deps)
  const heard: Alarm[] = []
  let subscriber: RedisSubscriber | undefined
  let resumed = 0
  const line = new AlarmLine({
    redis,
    newId: () => crypto.randomUUID(),
    wallClock,
    onAlarm: (alarm) => heard.push(alarm),
    subscribe(more) {
      subscriber = new RedisSubscriber(settings, {
        ...more,
        random: () => 0,
        onLost: () => {},
        onResumed() {
          resumed++
          more.onResumed()
        },
      })
      return subscriber
    },
  })
  open.push(line, redis)
  await until(() => resumed === 1, "the connection")
  return { line, redis, heard, cut: () => subscriber!.reconnect(), resumed: () => resumed }
}

const alarm = (id: string, at = Date.now()): Alarm => ({ id, at, text: "{}", user: "ada", channels: [] })
const ids = (heard: readonly Alarm[]) => heard.map(({ id }) => id)

test("[T-3.4] what one gateway tells, all hear, itself too", async () => {
  const { url } = await startRedis()
  const [one, two] = [await startLine(url), await startLine(url)]
  const first = alarm("a")
  expect(await one.line.tell(first)).toBe(true)
  await until(() => one.heard.length === 1 && two.heard.length === 1, "both")
  expect(two.heard[0]).toEqual(first)
})

test("[T-3.4] who was not connected when it was told hears it when it is again; what is old nobody hears", async () => {
  const { url } = await startRedis()
  let time = Date.now()
  const [one, two] = [await startLine(url), await startLine(url, () => time)]
  expect(await one.line.tell(alarm("kept"))).toBe(true)
  await until(() => two.heard.length === 1, "the first time")
  two.cut()
  await until(() => two.resumed() === 2 && two.heard.length === 2, "the second time")
  expect(ids(two.heard)).toEqual(["kept", "kept"])
  time += 6 * 60_000
  two.cut()
  await until(() => two.resumed() === 3, "the third connection")
  expect(await one.line.tell(alarm("new", time))).toBe(true)
  await until(() => ids(two.heard).includes("new"), "the new one")
  expect(ids(two.heard)).toEqual(["kept", "kept", "new"])
})

test("[T-3.4] without Redis it is not told, and says so; nonsense of others is not heard", async () => {
  const redis = await startRedis()
  const one = await startLine(redis.url)
  for (const text of ["", "{", "null", "[]", '{"id":1}', JSON.stringify({ ...alarm("x"), channels: 7 })])
    await redis.client.publish("gatehouse:alarms", text)
  expect(await one.line.tell(alarm("a"))).toBe(true)
  await until(() => one.heard.length > 0, "the alarm")
  expect(ids(one.heard)).toEqual(["a"])
  await redis.kill()
  await until(() => !one.redis.connected, "the loss")
  expect(await one.line.tell(alarm("b"))).toBe(false)
})
