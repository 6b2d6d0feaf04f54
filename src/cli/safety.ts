import type { Config } from "../config/schema.ts"
import type { IdentityPort } from "../gateway/control_options.ts"
import { now } from "../lib/clock.ts"
import type { Counts } from "../observe/counts.ts"
import type { Log } from "../observe/log.ts"
import type { Hub } from "../realtime/channels/hub.ts"
import { SafetyDesk } from "../realtime/safety/desk.ts"
import { AlarmLine } from "../realtime/safety/line.ts"
import type { AlarmChannel, Reporter } from "../realtime/safety/messages.ts"
import type { SafetyEvent } from "../safety/safety_event.ts"
import type { Redis } from "../store/redis.ts"
import { checkedRedisSettings } from "../store/redis_settings.ts"
import { RedisSubscriber } from "../store/redis_subscriber.ts"

export interface OpenSafety {
  readonly desk: SafetyDesk
  close(): void
}

interface SafetyParts {
  readonly redis: Redis | undefined
  readonly hub: Pick<Hub, "answer">
  readonly workers: number
  readonly record: IdentityPort["record"]
  readonly counts: Counts
  readonly log: Log
}

const TICK_MS = 1000

/** Safety events of the control plane. */
export function openSafety(config: Pick<Config, "safety" | "redis">, parts: SafetyParts): OpenSafety {
  const { hub, workers, record, counts, log } = parts
  const newId = (): string => Bun.randomUUIDv7("base64url")
  const line = openLine(config, parts, newId, (alarm) => desk.heard(alarm))
  const desk: SafetyDesk = new SafetyDesk({
    publish: (channel, data, key) => publish(hub, channel, data, key),
    tellOthers: line && ((alarm) => line.tell(alarm)),
    now,
    wallClock: Date.now,
    newId,
    workers,
    log,
    record: (event, reporter) => record(toRecord(event, reporter), toAlert(event)),
    async onUndelivered(event, to, attempts) {
      const details = { to, attempts }
      const about = { actor: "", subject: event, client: "", requestId: "", details }
      const alert = { type: "safety.undelivered", payload: { id: event, ...details } }
      await record({ action: "safety.hand_on", outcome: "failure", ...about }, alert)
    },
    onRaised: ({ severity, source }) =>
      counts.add("gatehouse_safety_events_total", {
        severity,
        source: source.replace("policy:", ""),
      }),
    onHandedOn: (to, result) => counts.add("gatehouse_safety_deliveries_total", { to, result }),
    onJudged: (namespace, policy, verdict) =>
      counts.add("gatehouse_realtime_judged_total", { namespace, policy, verdict }),
  })
  let waiting = 0
  const tick = setInterval(() => {
    desk.tick()
    line?.tick()
    counts.add("gatehouse_safety_waiting", {}, desk.waiting - waiting)
    waiting = desk.waiting
  }, TICK_MS)
  return {
    desk,
    close() {
      clearInterval(tick)
      desk.close()
      line?.close()
    },
  }
}

/** `undefined`: there are no other gateways to tell, or nothing to tell them. */
function openLine(
  { safety, redis: section }: Pick<Config, "safety" | "redis">,
  { redis }: Pick<SafetyParts, "redis">,
  newId: () => string,
  onAlarm: ConstructorParameters<typeof AlarmLine>[0]["onAlarm"],
): AlarmLine | undefined {
  if (safety?.events === undefined || redis === undefined || section === undefined) return undefined
  const settings = checkedRedisSettings(section)
  return new AlarmLine({
    redis,
    newId,
    wallClock: Date.now,
    onAlarm,
    subscribe: (deps) =>
      new RedisSubscriber(settings, {
        ...deps,
        random: Math.random,
        onLost() {
          // Channels have such a connection, too, and say so when Redis is away.
        },
      }),
  })
}

async function publish(
  hub: Pick<Hub, "answer">,
  { channel, namespace, retention }: AlarmChannel,
  data: string,
  key: string,
): Promise<boolean> {
  const request = { data, publisher: undefined, key }
  const { answers } = await hub.answer({
    kind: "channels",
    // Whose it is makes no difference to what is published.
    worker: 0,
    commands: [{ do: "publish", channel, namespace, request, retention, forward: undefined }],
  })
  return answers[0]?.ok === true
}

/** For the record: who reported what kind of event about whom, and nothing of what was said. */
function toRecord({ id, category, severity, source, user = "" }: SafetyEvent, reporter: Reporter) {
  return {
    action: "safety.raise",
    outcome: "success" as const,
    actor: reporter.id,
    subject: user,
    client: reporter.client,
    requestId: reporter.requestId,
    details: { id, category, severity, source },
  }
}

function toAlert({ id, category, severity, source, user, session, channel }: SafetyEvent) {
  return {
    type: "safety.event",
    payload: {
      id,
      category,
      severity,
      source,
      ...(user !== undefined && { user }),
      ...(session !== undefined && { session }),
      ...(channel !== undefined && { channel }),
    },
  }
}
