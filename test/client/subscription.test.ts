import { describe, expect, test } from "bun:test"
import type { Subscription } from "../../src/client/connect.ts"
import { turns } from "../support/realtime_model.ts"
import { collect, modelClient } from "./model_client.ts"

const UNAVAILABLE = { code: "UNAVAILABLE", message: "not now", temporary: true } as const
const FORBIDDEN = { code: "FORBIDDEN", message: "not here", temporary: false } as const
const NOT_AVAILABLE = { code: "NOT_AVAILABLE", message: "no history", temporary: false } as const

/** What a subscription says of its own continuity, in order. */
function tell(subscription: Subscription): string[] {
  const told: string[] = []
  subscription.on("subscribed", ({ recovered }) => told.push(`subscribed ${recovered}`))
  subscription.on("recovered", ({ publications }) => told.push(`recovered ${publications}`))
  subscription.on("lost", ({ since, position }) =>
    told.push(`lost ${since.epoch}:${since.offset} to ${position.epoch}:${position.offset}`),
  )
  subscription.on("unsubscribed", ({ reason }) => told.push(`unsubscribed: ${reason}`))
  return told
}

/** A client that is subscribed to a:b. `data`, `told`: what came of it so far. */
async function subscribed() {
  const model = modelClient()
  const subscription = model.client.subscribe("a:b")
  const data = collect(subscription)
  const told = tell(subscription)
  await model.gateway.settle()
  return { ...model, subscription, data, told }
}

describe("a subscription", () => {
  test("hands on what is published from then on, and who comes and goes", async () => {
    const { gateway, client } = modelClient()
    gateway.publish("a:b", "before")
    const subscription = client.subscribe("a:b")
    const data = collect(subscription)
    const members: unknown[] = []
    subscription.on("join", (member) => members.push(["join", member]))
    subscription.on("leave", (member) => members.push(["leave", member]))
    await gateway.settle()
    gateway.publish("a:b", "one")
    gateway.push({ push: "join", channel: "a:b", member: { client: "c2" } })
    gateway.push({ push: "leave", channel: "a:b", member: { client: "c2" } })
    gateway.publish("a:b", "two")
    await gateway.settle()
    expect(data).toEqual(["one", "two"])
    expect(members).toEqual([
      ["join", { client: "c2" }],
      ["leave", { client: "c2" }],
    ])
    expect(subscription.position).toEqual({ epoch: "e1", offset: 3 })
  })

  test("gets what it missed while it was away, in order, and says so", async () => {
    const { gateway, pass, data, told } = await subscribed()
    gateway.publish("a:b", 1)
    await gateway.settle()
    gateway.publish("a:b", 2)
    gateway.socket.cut(1006)
    gateway.publish("a:b", 3)
    await pass(1000)
    gateway.publish("a:b", 4)
    await gateway.settle()
    expect(data).toEqual([1, 2, 3, 4])
    expect(told).toEqual(["subscribed false", "subscribed true", "recovered 2"])
  })

  test("begins after the position it is given", async () => {
    const { gateway, client } = modelClient()
    for (const n of [1, 2, 3]) gateway.publish("a:b", n)
    const data = collect(client.subscribe("a:b", { since: { epoch: "e1", offset: 1 } }))
    await gateway.settle()
    expect(data).toEqual([2, 3])
  })

  test("hands on what did not fit into the reply and follows it, also where that is cut off", async () => {
    const { gateway, client, time, pass } = modelClient()
    gateway.page = 2
    const data = collect(client.subscribe("a:b"))
    await gateway.settle()
    gateway.socket.cut(1006)
    for (let n = 1; n <= 7; n++) gateway.publish("a:b", n)
    await Promise.resolve()
    const cut = async (frames: number): Promise<void> => {
      time.pass(1000)
      await turns()
      const { socket } = gateway
      socket.open()
      gateway.step(socket, "up")
      gateway.step(socket, "down")
      gateway.step(socket, "up")
      for (let i = 0; i < frames; i++) gateway.step(socket, "down")
      socket.cut(1006)
    }
    await cut(1)
    expect(data).toEqual([1, 2])
    await cut(3)
    expect(data).toEqual([1, 2, 3, 4, 5, 6])
    await pass(1000)
    gateway.publish("a:b", 8)
    await gateway.settle()
    expect(data).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
  })

  test("says what is lost when the channel's past is gone, and goes on", async () => {
    const { gateway, pass, data, told } = await subscribed()
    gateway.publish("a:b", "old")
    await gateway.settle()
    gateway.socket.cut(1006)
    gateway.channels.delete("a:b")
    gateway.channel("a:b").epoch = "e2"
    gateway.publish("a:b", "missed")
    await pass(1000)
    gateway.publish("a:b", "new")
    await gateway.settle()
    expect(data).toEqual(["old", "new"])
    expect(told).toEqual(["subscribed false", "subscribed false", "lost e1:1 to e2:1"])
  })

  test("loses nothing when a new epoch goes on from the one before, and goes by the new one from then on", async () => {
    const { gateway, pass, subscription, data, told } = await subscribed()
    gateway.publish("a:b", 1)
    await gateway.settle()
    gateway.restart("a:b")
    gateway.publish("a:b", 2)
    await gateway.settle()
    await pass(1000)
    gateway.publish("a:b", 3)
    await gateway.settle()
    expect(data).toEqual([1, 2, 3])
    expect(told).toEqual(["subscribed false", "subscribed true", "recovered 1"])
    expect(subscription.position).toEqual({ epoch: "e2", offset: 3 })
  })

  test("says what is lost when a new epoch lacks what it has had already", async () => {
    const { gateway, pass, told } = await subscribed()
    for (const n of [1, 2, 3]) gateway.publish("a:b", n)
    await gateway.settle()
    gateway.restart("a:b", 2)
    gateway.publish("a:b", 4)
    await gateway.settle()
    await pass(1000)
    expect(told).toEqual(["subscribed false", "subscribed false", "lost e1:3 to e2:2"])
  })

  test("remembers no position before it was given what lies up to it, when more was missed than a reply holds", async () => {
    const { gateway, client } = modelClient()
    gateway.page = 2
    for (let n = 1; n <= 5; n++) gateway.publish("a:b", n)
    const subscription = client.subscribe("a:b", { since: { epoch: "e1", offset: 0 } })
    const data = collect(subscription)
    const recovered: unknown[] = []
    subscription.on("recovered", (what) => recovered.push(what))
    await turns()
    gateway.socket.open()
    for (const direction of ["up", "down", "up", "down"] as const) gateway.step(gateway.socket, direction)
    expect(recovered).toEqual([{ position: { epoch: "e1", offset: 2 }, publications: 2, more: true }])
    expect(subscription.position).toEqual({ epoch: "e1", offset: 2 })
    await gateway.settle()
    expect(data).toEqual([1, 2, 3, 4, 5])
    expect(gateway.commands.filter(({ type }) => type === "history")).toEqual([])
  })

  test("says what is lost when history does not reach back far enough", async () => {
    const { gateway, pass, told } = await subscribed()
    gateway.socket.cut(1006)
    for (const n of [1, 2, 3]) gateway.publish("a:b", n)
    gateway.channel("a:b").first = 3
    await pass(1000)
    expect(told).toEqual(["subscribed false", "subscribed false", "lost e1:0 to e1:3"])
  })

  test("loses nothing where the gateway only lacks what was had long ago", async () => {
    const { gateway, client } = modelClient()
    const subscription = client.subscribe("a:b", { since: { epoch: "e1", offset: 5 } })
    const data = collect(subscription)
    const told = tell(subscription)
    await Promise.resolve()
    gateway.socket.open()
    gateway.step(gateway.socket, "up")
    gateway.step(gateway.socket, "down")
    gateway.socket.up.shift()
    const publications = [4, 5, 6].map((offset) => ({ offset, data: offset }))
    const position = { epoch: "e1", offset: 6 }
    gateway.push({ id: 2, result: { position, recovered: false, publications, more: false, ack: false } })
    await gateway.settle()
    expect(data).toEqual([6])
    expect(told).toEqual(["subscribed true", "recovered 1"])
  })

  test("fills a gap from history before it goes on", async () => {
    const { gateway, client } = modelClient()
    const data = collect(client.subscribe("a:b"))
    await gateway.settle()
    for (const n of [1, 2, 3, 4]) gateway.publish("a:b", n)
    gateway.socket.down.splice(1, 2)
    await gateway.settle()
    expect(data).toEqual([1, 2, 3, 4])
  })

  test("says what is lost when a gap cannot be filled, and goes on", async () => {
    const { gateway, client } = modelClient()
    gateway.channel("a:b", { noHistory: true })
    gateway.refuse = ({ type }) => (type === "history" ? NOT_AVAILABLE : undefined)
    const subscription = client.subscribe("a:b")
    const data = collect(subscription)
    const told = tell(subscription)
    await gateway.settle()
    for (const n of [1, 2, 3, 4]) gateway.publish("a:b", n)
    gateway.socket.down.splice(1, 1)
    await gateway.settle()
    expect(data).toEqual([1, 3, 4])
    expect(told).toEqual(["subscribed false", "lost e1:1 to e1:2"])
  })

  test("takes no answer of another epoch for a gap in this one, and loses nothing when it subscribes again", async () => {
    const { gateway, client, pass } = modelClient()
    const channel = gateway.channel("a:b")
    const subscription = client.subscribe("a:b")
    const data = collect(subscription)
    const told = tell(subscription)
    await gateway.settle()
    for (const n of [1, 2, 3]) gateway.publish("a:b", n)
    gateway.socket.down.splice(1, 1)
    // The gateway's own connections have not heard of it yet.
    channel.past.set("e1", 3)
    channel.epoch = "e2"
    await gateway.settle()
    expect(data).toEqual([1])
    gateway.push({ push: "unsubscribe", channel: "a:b", resubscribe: true, reason: "it has begun anew" })
    gateway.publish("a:b", 4)
    await gateway.settle()
    await pass(1000)
    expect(data).toEqual([1, 2, 3, 4])
    expect(told).toEqual(["subscribed false", "subscribed true", "recovered 3"])
  })

  test("drops what comes twice", async () => {
    const { gateway, client } = modelClient()
    const data = collect(client.subscribe("a:b"))
    await gateway.settle()
    gateway.publish("a:b", 1)
    gateway.socket.down.push(gateway.socket.down[0]!)
    await gateway.settle()
    expect(data).toEqual([1])
  })

  test("tries again what is refused for the moment, and ends with what is refused for good", async () => {
    const { gateway, client, errors, pass } = modelClient()
    gateway.refuse = ({ type }) => (type === "subscribe" ? UNAVAILABLE : undefined)
    const subscription = client.subscribe("a:b")
    const told = tell(subscription)
    await gateway.settle()
    expect(subscription.state).toBe("subscribing")
    gateway.refuse = ({ type }) => (type === "subscribe" ? FORBIDDEN : undefined)
    await pass(1000)
    expect(subscription.state).toBe("unsubscribed")
    expect(told).toEqual(["unsubscribed: not here"])
    expect(errors).toMatchObject([{ code: "FORBIDDEN" }])
  })

  test("the gateway interrupts goes on where it was; one the gateway ends is over", async () => {
    const { gateway, client, pass, data, told } = await subscribed()
    gateway.push({ push: "unsubscribe", channel: "a:b", resubscribe: true, reason: "missed some" })
    gateway.step(gateway.socket, "down")
    gateway.publish("a:b", "meanwhile")
    await pass(1000)
    expect(data).toEqual(["meanwhile"])
    gateway.push({ push: "unsubscribe", channel: "a:b", resubscribe: false, reason: "banned" })
    await gateway.settle()
    expect(told.at(-1)).toBe("unsubscribed: banned")
    expect(client.subscribe("a:b").state).toBe("subscribing")
  })

  test("that is ended by its holder hears nothing more and is told to the gateway", async () => {
    const { gateway, subscription, data } = await subscribed()
    subscription.unsubscribe()
    gateway.publish("a:b", 1)
    await gateway.settle()
    expect(data).toEqual([])
    expect(gateway.socket.subscribed.has("a:b")).toBe(false)
  })

  test("is one a channel", () => {
    const { client } = modelClient()
    client.subscribe("a:b")
    expect(() => client.subscribe("a:b")).toThrow("it is subscribed to")
    client.close()
  })

  test("reports what a listener throws and goes on", async () => {
    const { gateway, client } = modelClient()
    const subscription = client.subscribe<number>("a:b")
    const errors: unknown[] = []
    subscription.on("error", (error) => errors.push(error))
    subscription.on("publication", ({ data }) => {
      if (data === 1) throw new Error("a bug")
    })
    const data = collect(subscription)
    await gateway.settle()
    gateway.publish("a:b", 1)
    gateway.publish("a:b", 2)
    await gateway.settle()
    expect(errors.map(String)).toEqual(["Error: a bug"])
    expect(data).toEqual([2])
  })
})

describe("a subscription that acknowledges", () => {
  const open = (options = {}) => {
    const model = modelClient()
    const channel = model.gateway.channel("a:b", { ack: true })
    return { ...model, channel, subscription: model.client.subscribe<unknown>("a:b", options) }
  }

  test("does so when the listener is done, and hands on the next one then", async () => {
    const { gateway, channel, subscription } = open()
    const begun: unknown[] = []
    const ends: (() => void)[] = []
    subscription.on("publication", ({ data }) => {
      begun.push(data)
      return new Promise<void>((resolve) => ends.push(resolve))
    })
    await gateway.settle()
    gateway.publish("a:b", 1)
    gateway.publish("a:b", 2)
    await gateway.settle()
    expect(begun).toEqual([1])
    expect(channel.acks).toEqual([])
    ends[0]!()
    await gateway.settle()
    expect(begun).toEqual([1, 2])
    expect(channel.acked).toBe(1)
  })

  test("keeps messages until somebody listens", async () => {
    const { gateway, channel, subscription } = open()
    await gateway.settle()
    gateway.publish("a:b", 1)
    await gateway.settle()
    expect(channel.acked).toBe(0)
    const data = collect(subscription)
    await gateway.settle()
    expect(data).toEqual([1])
    expect(channel.acked).toBe(1)
  })

  test("gets again what the listener failed on, and only then what came after it", async () => {
    const { gateway, channel, subscription, errors } = open()
    const data: unknown[] = []
    let failed = false
    subscription.on("publication", async (publication) => {
      if (publication.data === 2 && !failed) {
        failed = true
        throw new Error("no database")
      }
      data.push([publication.data, publication.attempt ?? 1])
    })
    await gateway.settle()
    for (const n of [1, 2, 3]) gateway.publish("a:b", n)
    await gateway.settle()
    expect(data).toEqual([[1, 1]])
    expect(channel.acked).toBe(1)
    gateway.redeliver("a:b", 2)
    await gateway.settle()
    expect(data).toEqual([
      [1, 1],
      [2, 2],
      [3, 2],
    ])
    expect(channel.acked).toBe(3)
    expect(errors.map(String)).toEqual(["Error: no database"])
  })

  test("goes on when the gateway gave up on what the listener failed on", async () => {
    const { gateway, channel, subscription } = open()
    const told = tell(subscription)
    const data: unknown[] = []
    subscription.on("publication", (publication) => {
      if (publication.data === 1) throw new Error("never")
      data.push(publication.data)
    })
    await gateway.settle()
    gateway.publish("a:b", 1)
    gateway.publish("a:b", 2)
    await gateway.settle()
    channel.acked = 1
    gateway.redeliver("a:b", 2)
    await gateway.settle()
    expect(data).toEqual([2])
    expect(told).toContain("lost e1:0 to e1:1")
  })

  test("says again what the gateway did not hear", async () => {
    const { gateway, channel, subscription, pass } = open()
    const data = collect(subscription)
    await gateway.settle()
    gateway.publish("a:b", 1)
    gateway.step(gateway.socket, "down")
    await Promise.resolve()
    await Promise.resolve()
    gateway.socket.cut(1006)
    expect(channel.acked).toBe(0)
    await pass(1000)
    expect(channel.acked).toBe(1)
    channel.acked = 0
    gateway.redeliver("a:b", 2)
    await gateway.settle()
    expect(data).toEqual([1])
    expect(channel.acked).toBe(1)
  })

  test("acknowledges in the new epoch what it had from the one before it", async () => {
    const { gateway, channel, subscription, pass } = open()
    const ends: (() => void)[] = []
    const begun: unknown[] = []
    subscription.on("publication", ({ data }) => {
      begun.push(data)
      return new Promise<void>((resolve) => ends.push(resolve))
    })
    await gateway.settle()
    for (const n of [1, 2]) gateway.publish("a:b", n)
    await gateway.settle()
    gateway.restart("a:b")
    await gateway.settle()
    await pass(1000)
    expect(begun).toEqual([1])
    ends[0]!()
    await gateway.settle()
    expect(channel.acked).toBe(1)
    ends[1]!()
    await gateway.settle()
    expect(begun).toEqual([1, 2])
    expect(channel.acked).toBe(2)
    expect(subscription.position).toEqual({ epoch: "e2", offset: 2 })
  })

  test("by hand says what was dealt with when it is told to, and gets the rest again", async () => {
    const { gateway, channel, subscription } = open({ acknowledge: "manual" })
    const data = collect(subscription)
    await gateway.settle()
    for (const n of [1, 2, 3]) gateway.publish("a:b", n)
    await gateway.settle()
    expect(data).toEqual([1, 2, 3])
    expect(channel.acks).toEqual([])
    subscription.ack(2)
    await gateway.settle()
    expect(channel.acks).toEqual([2])
    gateway.redeliver("a:b", 2)
    await gateway.settle()
    expect(data).toEqual([1, 2, 3, 3])
  })

  test("that falls far behind leaves the rest with the gateway, and fetches it when it is through", async () => {
    const { gateway, channel, subscription } = open()
    const more = 10_500
    await gateway.settle()
    for (let n = 1; n <= more; n++) gateway.publish("a:b", n)
    await gateway.settle()
    const data = collect(subscription)
    for (let round = 0; round < 2000 && channel.acked < more; round++) await gateway.settle()
    expect(data.length).toBe(more)
    expect(data).toEqual(Array.from({ length: more }, (_, i) => i + 1))
  })
})
