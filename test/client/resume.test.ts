import { expect, test } from "bun:test"
import fc from "fast-check"
import type { ModelChannel } from "../support/realtime_model.ts"
import { modelClient } from "./model_client.ts"

const CHANNELS = ["best:1", "best:2", "acked:1"] as const

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("publish" as const), channel: fc.nat(2) }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("others publish" as const), channel: fc.nat(2) }) },
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constant("up" as const), frames: fc.integer({ min: 1, max: 9 }) }),
  },
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constant("down" as const), frames: fc.integer({ min: 1, max: 9 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant("cut" as const), code: fc.constantFrom(1006, 1012, 4000, 4001) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant("time" as const), ms: fc.integer({ min: 1, max: 3000 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("redeliver" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("epoch" as const), channel: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("temporary" as const), refuse: fc.boolean() }) },
)

const UNAVAILABLE = { code: "UNAVAILABLE", message: "not now", temporary: true } as const

test("whatever is cut wherever: each message comes once and in order, and what the client publishes is there once and in order", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 20, maxLength: 120 }),
      fc.integer({ min: 1, max: 4 }),
      async (steps, page) => {
        const { gateway, client, time, errors, pass } = modelClient({ backoffMs: 200, maxBackoffMs: 2000 })
        gateway.page = page
        gateway.channel("acked:1", { ack: true })
        const received = new Map<string, { offset: number; data: unknown }[]>()
        const lost: unknown[] = []
        for (const name of CHANNELS) {
          const seen: { offset: number; data: unknown }[] = []
          received.set(name, seen)
          // From the beginning, so that all there is must come.
          const subscription = client.subscribe(name, { since: { epoch: "e1", offset: 0 } })
          subscription.on("lost", (what) => lost.push(what))
          subscription.on("publication", async ({ offset, data }) => {
            await Promise.resolve()
            seen.push({ offset, data })
          })
        }
        let numbers = 0
        const own = new Map<string, number[]>(CHANNELS.map((name) => [name, []]))
        const published: Promise<unknown>[] = []
        let failing = false
        gateway.refuse = ({ type }) => (failing && type !== "connect" ? UNAVAILABLE : undefined)
        for (const each of steps) {
          const { socket } = gateway
          switch (each.do) {
            case "publish": {
              const name = CHANNELS[each.channel]!
              const data = ++numbers
              own.get(name)!.push(data)
              published.push(client.publish(name, data))
              break
            }
            case "others publish":
              gateway.publish(CHANNELS[each.channel]!, "other")
              break
            case "up":
            case "down":
              socket?.open()
              for (let frame = 0; socket && frame < each.frames; frame++) gateway.step(socket, each.do)
              break
            case "cut":
              socket?.cut(each.code)
              break
            case "time":
              time.pass(each.ms)
              break
            case "redeliver":
              gateway.redeliver("acked:1", 2)
              break
            case "epoch":
              gateway.restart(CHANNELS[each.channel]!)
              break
            case "temporary":
              failing = each.refuse
              break
          }
          for (let turn = 0; turn < 4; turn++) await Promise.resolve()
        }
        failing = false
        for (let round = 0; round < 40 && (client.unsent > 0 || !caughtUp()); round++) {
          await pass(1000)
          // As the gateway does with what is not acknowledged in time.
          gateway.redeliver("acked:1", 2)
          await gateway.settle()
        }
        await Promise.all(published)
        expect(lost).toEqual([])
        expect(errors).toEqual([])
        for (const name of CHANNELS) {
          const { log } = gateway.channel(name)
          expect(received.get(name)!).toEqual(log.map(({ data }, i) => ({ offset: i + 1, data })))
          expect(log.map(({ data }) => data).filter((data) => data !== "other")).toEqual(own.get(name)!)
        }
        const acked: ModelChannel = gateway.channel("acked:1")
        expect(acked.acked).toBe(acked.log.length)
        client.close()

        function caughtUp(): boolean {
          const { acked: told, log } = gateway.channel("acked:1")
          return (
            told === log.length &&
            CHANNELS.every((name) => received.get(name)!.length >= gateway.channel(name).log.length)
          )
        }
      },
    ),
    { numRuns: 300 },
  )
})
