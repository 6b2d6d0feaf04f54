import { expect, test } from "bun:test"
import type { CallAnswer, CallService } from "../../src/realtime/channels/call_service.ts"
import { createChannels } from "../support/channels.ts"
import { makePrincipal } from "../support/principal.ts"
import { until } from "../support/until.ts"

const HOOK = { service: "judge", path: "/messages", timeout: "1s" }
const DELIVERED: CallAnswer = { status: 200, value: undefined }

interface Message {
  readonly channel: string
  readonly epoch: string
  readonly offset: number
  readonly user: { readonly id: string } | null
  readonly data: unknown
}

/** Channels whose messages a service gets, which answers as it is told. */
async function createForwarding(forward: object = {}, workers = 2) {
  const got: Message[] = []
  const headers: Record<string, string>[] = []
  const seen = { underWay: 0, most: 0 }
  let answer: (message: Message) => CallAnswer | undefined | Promise<CallAnswer | undefined> = () => DELIVERED
  const call: CallService = async (_call, question, options) => {
    const message = JSON.parse(question as string) as Message
    got.push(message)
    const lines = options!.headers
    const entries = lines.flatMap((name, i): [string, string][] =>
      i % 2 === 0 ? [[name, lines[i + 1]!]] : [],
    )
    headers.push(Object.fromEntries(entries))
    seen.most = Math.max(seen.most, ++seen.underWay)
    const answered = await answer(message)
    seen.underWay--
    return answered
  }
  const options = {
    namespaces: { chat: { subscribe: {}, publish: {}, forward: { ...HOOK, ...forward } } },
    rate: "10000/s",
  }
  const channels = await createChannels(options, { call, workers })
  const count = (result: string) => channels.counted.filter((each) => each === `chat ${result}`).length
  return {
    channels,
    got,
    headers,
    seen,
    count,
    data: () => got.map(({ data }) => data),
    dead: () =>
      channels.log.events.flatMap(({ event, fields }) =>
        event === "realtime.not_forwarded" ? [fields] : [],
      ),
    answers: (next: typeof answer) => {
      answer = next
    },
    /** Lets time pass until it is so. */
    async pass(condition: () => boolean, what: string): Promise<void> {
      await until(
        () => {
          channels.pass(1000)
          return condition()
        },
        what,
        3000,
      )
    },
  }
}

const publish = (data: unknown, channel = "chat:1") => ({ type: "publish", channel, data })

test("[T-3.4] a service gets each message of a client with its place, the user and a key", async () => {
  const { channels, got, headers, count } = await createForwarding()
  const ada = channels.user("ada")
  const { result } = await ada.ask(publish({ text: "hello" }))
  await until(() => count("delivered") === 1, "the delivery")
  const { epoch } = result.position
  expect(got).toEqual([
    expect.objectContaining({ channel: "chat:1", epoch, offset: 1, data: { text: "hello" } }),
  ])
  expect(got[0]!.user).toMatchObject({ id: "ada", kind: "user" })
  expect(headers[0]).toEqual({
    "x-gatehouse-channel": "chat:1",
    "x-gatehouse-epoch": epoch,
    "x-gatehouse-offset": "1",
    "x-gatehouse-user": "ada",
    "x-request-id": expect.stringMatching(/^[0-9a-f-]{36}$/),
    "idempotency-key": `${epoch}-1`,
  })
  expect(channels.queued).toEqual({ chat: 0 })
})

test("an id that is no text for a header is encoded, and one nobody knows has no header", async () => {
  const { channels, headers, got, count } = await createForwarding()
  await channels.user("ada\r\nx-evil: 1").ask(publish(1))
  await until(() => count("delivered") === 1, "the delivery")
  expect(headers[0]!["x-gatehouse-user"]).toBe("ada%0D%0Ax-evil:%201")
  const options = { namespaces: { chat: { publish: { anonymous: true }, forward: HOOK } } }
  channels.apply(options)
  const nobody = channels.connect(0, undefined)
  await nobody.ask({ type: "connect" })
  await nobody.ask(publish(2))
  await until(() => count("delivered") === 2, "the second")
  expect(headers[1]).not.toHaveProperty("x-gatehouse-user")
  expect(got[1]!.user).toBeNull()
})

test("messages of a channel come one at a time in their order, from whatever worker; channels do not wait for each other", async () => {
  const { channels, answers, got, seen, count } = await createForwarding()
  const gate = Promise.withResolvers<void>()
  answers(async ({ channel }) => {
    if (channel === "chat:slow") await gate.promise
    return DELIVERED
  })
  const [ada, bob] = [channels.user("ada", 0), channels.user("bob", 1)]
  await ada.ask(publish("slow", "chat:slow"))
  const sent = await Promise.all(
    Array.from({ length: 40 }, (_, n) => (n % 2 === 0 ? ada : bob).ask(publish(n))),
  )
  expect(sent.every(({ error }) => error === undefined)).toBe(true)
  await until(() => count("delivered") === 40, "the others")
  const offsets = got.filter(({ channel }) => channel === "chat:1").map(({ offset }) => offset)
  expect(offsets).toEqual(Array.from({ length: 40 }, (_, n) => n + 1))
  expect(seen.most).toBe(2)
  gate.resolve()
  await until(() => count("delivered") === 41, "the slow one")
})

test("a client does not wait for the service", async () => {
  const { channels, answers } = await createForwarding()
  answers(() => new Promise(() => {}))
  const ada = channels.user("ada")
  expect((await ada.ask(publish(1))).result.position.offset).toBe(1)
  expect((await ada.ask(publish(2))).result.position.offset).toBe(2)
})

test("[F-70] while the service is down nothing is lost: the same is tried again with backoff, and all comes in order", async () => {
  const { channels, answers, data, count, got, pass } = await createForwarding()
  let attempts = 0
  answers(() =>
    ++attempts <= 4 ? (attempts % 2 === 0 ? undefined : { status: 503, value: undefined }) : DELIVERED,
  )
  const ada = channels.user("ada")
  for (const each of ["a", "b", "c"]) await ada.ask(publish(each))
  await until(() => count("retried") === 1, "the first failure")
  // Full waits, as chance is 1 here: 1 s, 2 s, 4 s, 8 s.
  const waits: number[] = []
  for (let failure = 2; failure <= 5; failure++) {
    let seconds = 0
    await until(
      () => {
        if (got.length >= failure) return true
        if (channels.queued.chat === 3 && attempts < failure) {
          seconds++
          channels.pass(1000)
        }
        return false
      },
      `attempt ${failure}`,
      3000,
    )
    await until(() => count("retried") === Math.min(failure, 4), "its end")
    waits.push(seconds)
  }
  await pass(() => count("delivered") === 3, "all")
  expect(data()).toEqual(["a", "a", "a", "a", "a", "b", "c"])
  expect(new Set(got.slice(0, 5).map(({ offset }) => offset)).size).toBe(1)
  expect(waits[3]).toBeGreaterThan(waits[0]!)
})

test("what the service refuses for good is counted and logged, and the next gets its turn", async () => {
  const { channels, answers, data, count, dead } = await createForwarding()
  answers(({ data }) => ({ status: data === "bad" ? 422 : 204, value: undefined }))
  const ada = channels.user("ada")
  for (const each of ["bad", "good"]) await ada.ask(publish(each))
  await until(() => count("delivered") === 1, "the good one")
  expect(count("refused")).toBe(1)
  expect(data()).toEqual(["bad", "good"])
  channels.pass(1000)
  expect(dead()).toMatchObject([
    { namespace: "chat", service: "judge", reason: "refused", messages: 1, channel: "chat:1", offset: 1 },
  ])
})

test("[F-70] at its bound the queue takes no more: the rest is counted, and told in one line of the log", async () => {
  const { channels, answers, data, count, pass, dead } = await createForwarding({ max_queue: 3 })
  answers(() => undefined)
  const ada = channels.user("ada")
  for (let n = 1; n <= 10; n++) expect((await ada.ask(publish(n))).error).toBeUndefined()
  expect(count("full")).toBe(7)
  expect(channels.queued).toEqual({ chat: 3 })
  channels.pass(1000)
  expect(dead()).toMatchObject([{ reason: "full", messages: 7, offset: 10 }])
  answers(() => DELIVERED)
  await pass(() => count("delivered") === 3, "those that waited")
  expect(data().at(-1)).toBe(3)
  await ada.ask(publish("again"))
  await until(() => count("delivered") === 4, "the next")
})

test("the bytes that wait are bounded, too", async () => {
  const { channels, answers, count } = await createForwarding({ max_queue_bytes: "64KB" })
  answers(() => undefined)
  const ada = channels.user("ada")
  for (let n = 0; n < 4; n++) await ada.ask(publish("x".repeat(25_000)))
  expect(count("full")).toBe(2)
})

test("what waits of a channel counts for the namespace it came by, though another has taken its prefix meanwhile", async () => {
  const { channels, answers, count, pass } = await createForwarding()
  const renamed = (name: string) =>
    channels.apply({
      namespaces: {
        [name]: { prefix: "chat:", subscribe: {}, publish: {}, forward: { ...HOOK, max_queue: 1 } },
      },
    })
  const ada = channels.user("ada")
  answers(() => undefined)
  await ada.ask(publish("old"))
  renamed("talk")
  await ada.ask(publish("new"))
  expect(channels.queued).toEqual({ chat: 1, talk: 1 })
  answers(() => DELIVERED)
  await pass(() => count("delivered") === 1 && channels.queued.talk === 0, "both")
  expect(channels.queued).toEqual({ chat: 0, talk: 0 })
  await ada.ask(publish("next"))
  await until(() => channels.counted.filter((each) => each === "talk delivered").length === 2, "the next")
  expect(channels.counted).not.toContain("talk full")
})

test("what cannot be delivered for `retry_for` is given up, after an attempt of its own", async () => {
  const { channels, answers, data, count, pass } = await createForwarding({ retry_for: "5s" })
  answers(() => undefined)
  const ada = channels.user("ada")
  for (const each of ["a", "b"]) await ada.ask(publish(each))
  await pass(() => count("expired") === 2, "the end of both")
  expect(data()).toContain("b")
  expect(channels.queued).toEqual({ chat: 0 })
  answers(() => DELIVERED)
  await ada.ask(publish("c"))
  await until(() => count("delivered") === 1, "the next")
})

test("a worker that dies does not take the message with it", async () => {
  const { channels, answers, got, count, pass } = await createForwarding()
  answers(() => new Promise(() => {}))
  const ada = channels.user("ada")
  await ada.ask(publish("held"))
  await until(() => got.length === 1, "the first attempt")
  channels.hub.lostWorker(0)
  answers(() => DELIVERED)
  await pass(() => count("delivered") === 1, "the second")
  expect(got.map(({ offset }) => offset)).toEqual([1, 1])
})

test("while a worker is being replaced another one sends what it had accepted", async () => {
  const { channels, answers, got, count, pass } = await createForwarding()
  answers(() => new Promise(() => {}))
  const [ada, bob] = [channels.user("ada", 0), channels.user("bob", 1)]
  await bob.ask({ type: "ping" })
  for (const each of ["held", "behind"]) await ada.ask(publish(each))
  await until(() => got.length === 1, "the first attempt")
  channels.hub.onEvents((worker, events) => {
    if (worker === 1) channels.workers[1]!.told(structuredClone(events))
  })
  channels.hub.lostWorker(0)
  answers(() => DELIVERED)
  await pass(() => count("delivered") === 2, "both")
  expect(got.map(({ data }) => data)).toEqual(["held", "held", "behind"])
  expect(count("retried")).toBe(1)
})

test("what a service published is forwarded only if `from` says everybody", async () => {
  const service = makePrincipal({ id: "backend", kind: "service" })
  for (const [from, expected] of [
    ["clients", ["mine"]],
    ["everybody", ["theirs", "mine"]],
  ] as const) {
    const { channels, count, data } = await createForwarding({ from })
    await channels.connect(0, service).ask(publish("theirs"))
    await channels.user("ada").ask(publish("mine"))
    await until(() => count("delivered") === expected.length, "the deliveries")
    expect(data()).toEqual([...expected])
  }
})

test("what a key shows to be a repetition is not forwarded again", async () => {
  const { channels, count, got } = await createForwarding()
  const ada = channels.user("ada")
  for (let n = 0; n < 3; n++) await ada.ask({ ...publish("once"), key: "k" })
  await ada.ask(publish("next"))
  await until(() => count("delivered") === 2, "both")
  expect(got.map(({ data }) => data)).toEqual(["once", "next"])
})

test("a thousand channels share the requests there may be at a time", async () => {
  const { channels, answers, seen, count } = await createForwarding()
  answers(async () => {
    await Bun.sleep(0)
    return DELIVERED
  })
  const ada = channels.user("ada")
  await ada.ask({ type: "ping" })
  await Promise.all(Array.from({ length: 1000 }, (_, n) => ada.ask(publish(n, `chat:${n}`))))
  await until(() => count("delivered") === 1000, "all of them")
  expect(seen.most).toBeLessThanOrEqual(32)
})

test("a gateway that ends waits for what is on its way, and says what it could not deliver", async () => {
  const { channels, answers, count, dead } = await createForwarding()
  const gate = Promise.withResolvers<CallAnswer>()
  answers(() => gate.promise)
  await channels.user("ada").ask(publish("late"))
  let drained = false
  const draining = channels.workers[0]!.drainForwards(5000).then(() => {
    drained = true
  })
  await channels.user("bob", 1).ask({ type: "ping" })
  expect(drained).toBe(false)
  gate.resolve(DELIVERED)
  await draining
  expect(count("delivered")).toBe(1)
  answers(() => undefined)
  await channels.user("ada").ask(publish("never"))
  let late = false
  void channels.workers[0]!.drainForwards(5000).then(() => {
    late = true
  })
  await until(
    () => {
      channels.pass(1000)
      return late
    },
    "the end of the wait",
    3000,
  )
  await channels.hub.close()
  expect(count("lost")).toBe(1)
  expect(dead()).toMatchObject([{ reason: "lost", messages: 1 }])
})
