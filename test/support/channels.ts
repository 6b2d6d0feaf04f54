import { parseConfig } from "../../src/config/load.ts"
import type { Principal } from "../../src/identity/principal.ts"
import type { CallService } from "../../src/realtime/channels/call_service.ts"
import type { ChannelStore } from "../../src/realtime/channels/channel_store.ts"
import { Hub } from "../../src/realtime/channels/hub.ts"
import { Link } from "../../src/realtime/channels/link.ts"
import { MemoryChannelStore } from "../../src/realtime/channels/memory_store.ts"
import type { RealtimeOptions } from "../../src/realtime/channels/options.ts"
import type { Push, PushName, PushOf } from "../../src/realtime/channels/protocol.ts"
import { Realtime } from "../../src/realtime/channels/realtime.ts"
import { Session } from "../../src/realtime/channels/session.ts"
import type { Alarm } from "../../src/realtime/safety/alarm.ts"
import { SafetyDesk } from "../../src/realtime/safety/desk.ts"
import type { SafetyEvent } from "../../src/safety/safety_event.ts"
import { SECRET } from "./authenticator.ts"
import { memoryLog } from "./memory_log.ts"
import { makePrincipal } from "./principal.ts"
import { until } from "./until.ts"

/** Whom sections may name. */
const SERVICES = { judge: { instances: ["http://127.0.0.1:9"] } }

/** A section `realtime`, decoded. */
export const realtimeOptions = (options: object): RealtimeOptions => decode(options, undefined).realtime!

/** The same together with `safety.events`. */
function decode(realtime: object, events: object | undefined) {
  const secured = events && {
    auth: { issuer: "gatehouse", audience: "api", secret: SECRET },
    safety: { events },
  }
  const file = { services: SERVICES, realtime: { anonymous: true, ...realtime }, ...secured }
  const loaded = parseConfig(JSON.stringify(file), "json", {})
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
  return loaded.config
}

interface AnyReply {
  readonly id: number
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it asked for.
  readonly result?: any
  readonly error?: { readonly code: string; readonly message: string; readonly temporary: boolean }
}

/** Channels of one gateway in this thread: a hub, workers that ask it, and time that passes when it is told to. */
export async function createChannels(
  options: object,
  parts: {
    workers?: number
    store?: ChannelStore
    call?: CallService
    /** The section `safety.events`. */
    events?: object
    /** Safety events are not taken: the control plane is busy. */
    deaf?: boolean
    /** Told of alarms as other gateways are. */
    tellOthers?: (alarm: Alarm) => Promise<boolean>
  } = {},
) {
  let time = 1_000_000
  let ids = 0
  const now = () => time
  const newId = () => `id${++ids}`
  const log = memoryLog()
  const counted: string[] = []
  const queued: Record<string, number> = {}
  const store = parts.store ?? new MemoryChannelStore({ now, newId, maxChannels: 1000, maxBytes: 10_000_000 })
  const hub = new Hub({
    store,
    now,
    wallClock: now,
    newId,
    soon: setImmediate,
    log,
    onPublished: (namespace, result) => counted.push(`${namespace} ${result}`),
    onRedelivered: (namespace) => counted.push(`${namespace} redelivered`),
    onBuried: (namespace, reason) => counted.push(`${namespace} ${reason}`),
    onClosed: (code) => counted.push(`closed ${code}`),
    random: () => 1,
    onForwarded: (namespace, result) => counted.push(`${namespace} ${result}`),
    onForwardQueued: (namespace, change) => void (queued[namespace] = (queued[namespace] ?? 0) + change),
  })
  await hub.open()
  const recorded: SafetyEvent[] = []
  const desk = new SafetyDesk({
    async publish({ channel, namespace, retention }, data, key) {
      const request = { data, publisher: undefined, key }
      const command = { do: "publish", channel, namespace, request, retention, forward: undefined } as const
      const { answers } = await hub.answer({ kind: "channels", worker: 0, commands: [command] })
      return answers[0]!.ok
    },
    tellOthers: parts.tellOthers,
    now,
    wallClock: now,
    newId,
    workers: parts.workers ?? 2,
    log,
    record: async (event) => void recorded.push(event),
    onUndelivered: (event, to, attempts) => void counted.push(`undelivered ${event} ${to} ${attempts}`),
    onRaised: ({ severity, source }) => counted.push(`safety ${severity} ${source}`),
    onHandedOn: (to, result) => counted.push(`${to} ${result}`),
    onJudged: (namespace, policy, verdict) => counted.push(`${namespace} ${policy} ${verdict}`),
  })
  const revoked = new Set<string>()
  const tokens = new Map<string, Principal>()
  const workers = Array.from({ length: parts.workers ?? 2 }, (_, worker) => {
    const joined = new Map<string, Set<(text: string) => void>>()
    const realtime = new Realtime({
      // As between threads: what is posted is a copy, and comes later.
      link: new Link(worker, async (question) =>
        structuredClone(await hub.answer(structuredClone(question))),
      ),
      identity: {
        verify: async (token) => tokens.get(token) ?? "invalid",
        isRevoked: ({ tokenId }) => revoked.has(tokenId),
      },
      call: async (call, question, options) => parts.call?.(call, question, options),
      safety: {
        worker,
        ask: async (question) =>
          parts.deaf === true ? undefined : structuredClone(await desk.answer(structuredClone(question))),
        call: async (call, question, options) => parts.call?.(call, question, options),
      },
      now,
      wallClock: now,
      newId,
      publish: (topic, frame) => {
        for (const send of joined.get(topic) ?? []) send(frame)
      },
      log,
    })
    const { realtime: section, safety } = decode(options, parts.events)
    realtime.apply(section, safety?.events)
    return { realtime, joined }
  })
  desk.onNews(
    (news) => {
      for (const { realtime } of workers) realtime.safety.told(structuredClone(news))
    },
    (worker, news) => workers[worker]?.realtime.safety.told(structuredClone(news)),
  )
  hub.onEvents((worker, events) => workers[worker]!.realtime.told(structuredClone(events)))

  function connect(worker: number, principal: Principal | undefined, direct = false) {
    const { realtime, joined } = workers[worker]!
    const texts: string[] = []
    const seen = { closed: 0 }
    const send = (text: string): void => void texts.push(text)
    const transport = {
      address: "192.0.2.1",
      send,
      urgent: send,
      close: (code: number) => {
        seen.closed = code
        for (const sends of joined.values()) sends.delete(send)
      },
      ...(!direct && {
        join: (topic: string) => void joined.set(topic, (joined.get(topic) ?? new Set()).add(send)),
        part: (topic: string) => void joined.get(topic)?.delete(send),
      }),
    }
    const session = new Session(transport, realtime, principal)
    void session.start()
    let last = 0
    const read: (AnyReply | Push)[] = []
    const parsed = () => {
      while (read.length < texts.length) read.push(JSON.parse(texts[read.length]!) as AnyReply | Push)
      return read
    }
    return {
      session,
      texts,
      closed: () => seen.closed,
      pushes: (): Push[] => parsed().filter((each): each is Push => "push" in each),
      of: <N extends PushName>(name: N) =>
        parsed().filter((each): each is PushOf<N> & Push => "push" in each && each.push === name),
      async ask(command: Record<string, unknown>): Promise<AnyReply> {
        const id = ++last
        session.receive(JSON.stringify({ id, ...command }))
        let reply: AnyReply | undefined
        await until(
          () => {
            reply = parsed().findLast((each): each is AnyReply => !("push" in each) && each.id === id)
            return reply !== undefined || seen.closed > 0
          },
          `the reply to ${command.type}`,
          2000,
        )
        if (reply === undefined) throw new Error(`closed with ${seen.closed}`)
        return reply
      },
      /** The connection is cut. */
      cut(): void {
        for (const sends of joined.values()) sends.delete(send)
        session.over(1006)
      },
    }
  }

  return {
    store,
    hub,
    desk,
    /** Safety events that were put on record. */
    recorded,
    log,
    counted,
    /** Messages that wait to be forwarded, by namespace. */
    queued,
    revoked,
    tokens,
    workers: workers.map(({ realtime }) => realtime),
    connect,
    user: (id: string, worker = 0) => connect(worker, makePrincipal({ id, tokenId: `token-${id}` })),
    /** Time passes, and what happens every second happens once. */
    pass(ms: number): void {
      time += ms
      hub.tick()
      desk.tick()
      for (const { realtime } of workers) realtime.tick()
    },
    apply(changed: object): void {
      const { realtime: section, safety } = decode(changed, parts.events)
      for (const { realtime } of workers) realtime.apply(section, safety?.events)
    },
  }
}
