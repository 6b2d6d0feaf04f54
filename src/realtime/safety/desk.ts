import { BoundedMap } from "../../lib/bounded_map.ts"
import type { Clock } from "../../lib/clock.ts"
import { late } from "../../lib/late.ts"
import type { Log } from "../../observe/log.ts"
import { type SafetyEvent, serviceView } from "../../safety/safety_event.ts"
import { type Alarm, toAlarm } from "./alarm.ts"
import { type Errand, type HandedOn, HandingOn, type Receiver } from "./handing_on.ts"
import type {
  AlarmChannel,
  AlarmService,
  Raise,
  Raised,
  Reporter,
  SafetyAnswer,
  SafetyNews,
  SafetyQuestion,
  Verdict,
} from "./messages.ts"

export interface SafetyDeskOptions {
  /** Puts an event into a channel, once for each key. Whether it is there. Never rejects. */
  readonly publish: (channel: AlarmChannel, data: string, key: string) => Promise<boolean>
  /** Tells the other gateways; whether they can have heard. Never rejects. `undefined`: there are none. */
  readonly tellOthers: ((alarm: Alarm) => Promise<boolean>) | undefined
  readonly now: Clock
  readonly wallClock: () => number
  /** A word nobody can guess. */
  readonly newId: () => string
  /** Workers of this gateway. */
  readonly workers: number
  readonly log: Log
  /** Puts an event on record, where there is a store. Never rejects. */
  readonly record: (event: SafetyEvent, reporter: Reporter) => Promise<void>
  readonly onUndelivered: (event: string, to: Receiver, attempts: number) => void
  readonly onRaised: (event: Pick<SafetyEvent, "severity" | "source">) => void
  readonly onHandedOn: (to: Receiver, result: HandedOn) => void
  readonly onJudged: (namespace: string, policy: string, verdict: Verdict) => void
}

/** Ids that are known again, and for how long, in ms. */
const MAX_KNOWN = 20_000
const KNOWN_MS = 10 * 60_000
/** Channels and other gateways are tried for so long. */
const GIVE_UP_AFTER_MS = 5 * 60_000
/** A worker has so much longer than a call may take to say how it went. */
const REPORT_MS = 2000

interface Call {
  readonly worker: number
  readonly until: number
  readonly over: (taken: boolean) => void
}

/**
 * Where the safety events of a gateway come together, in the control plane: each is told at once to the sockets of all
 * workers, and handed on to other gateways, channels and the service until they have it.
 */
export class SafetyDesk {
  readonly #options: SafetyDeskOptions
  readonly #handingOn: HandingOn
  /** Ids of events, with when they are forgotten. */
  readonly #known = new BoundedMap<number>(MAX_KNOWN)
  /** Calls workers make, by id of the event. */
  readonly #calls = new Map<string, Call>()
  #tellAll: (news: SafetyNews) => void = () => {}
  #tellOne: (worker: number, news: SafetyNews) => void = () => {}

  constructor(options: SafetyDeskOptions) {
    this.#options = options
    this.#handingOn = new HandingOn({
      now: options.now,
      onResult: (errand, result, attempts) => this.#handedOn(errand, result, attempts),
    })
  }

  /** Errands that are not done yet. */
  get waiting(): number {
    return this.#handingOn.size
  }

  /** What workers must hear goes this way. */
  onNews(all: (news: SafetyNews) => void, one: (worker: number, news: SafetyNews) => void): void {
    this.#tellAll = all
    this.#tellOne = one
  }

  /** Never rejects. */
  async answer({ worker, ask }: SafetyQuestion): Promise<SafetyAnswer> {
    switch (ask.do) {
      case "raise":
        return { kind: "safety", raised: await this.#raise(worker, ask) }
      case "called":
        this.#calls.get(ask.id)?.over(ask.taken)
        break
      case "judged":
        this.#options.onJudged(ask.namespace, ask.policy, ask.verdict)
    }
    return { kind: "safety", raised: undefined }
  }

  /** Another gateway has told of it; perhaps not for the first time. */
  heard(alarm: Alarm): void {
    if (this.#learn(alarm.id)) this.#tellAll({ do: "alarm", alarm })
  }

  /** A worker has died: its calls are tried again by another. */
  lostWorker(worker: number): void {
    for (const call of [...this.#calls.values()]) if (call.worker === worker) call.over(false)
  }

  /** Call about once a second. */
  tick(): void {
    const now = this.#options.now()
    for (const call of [...this.#calls.values()]) if (call.until < now) call.over(false)
    this.#handingOn.tick()
  }

  /** Says what was not handed on. */
  close(): void {
    if (this.waiting > 0) this.#options.log.error("safety.unfinished", { errands: this.waiting })
  }

  async #raise(worker: number, { report, source, reporter, key, plan }: Raise): Promise<Raised | undefined> {
    const { tellOthers, wallClock, log, record, onRaised, newId } = this.#options
    const id = key === undefined ? newId() : idOf(key)
    const { service, channels, user } = plan
    const errands = channels.length + Number(service !== undefined) + Number(tellOthers !== undefined)
    // Who may report is trusted with the whole; whoever may talk is not.
    const sharer = source === "api" ? "" : `${source} ${reporter.id}`
    if (!this.#handingOn.hasRoom(errands, sharer)) {
      log.error("safety.refused", { waiting: this.waiting, source })
      return undefined
    }
    if (!this.#learn(id)) return { id, duplicate: true }
    const event: SafetyEvent = { ...report, id, at: wallClock(), source }
    const { category, severity } = event
    const alarm = toAlarm(
      event,
      user,
      channels.map(({ channel }) => channel),
    )
    this.#tellAll({ do: "alarm", alarm })
    if (service !== undefined) this.#startService(event, service, sharer, worker)
    const patient = { event: id, giveUpAfterMs: GIVE_UP_AFTER_MS, sharer } as const
    if (tellOthers !== undefined)
      this.#handingOn.start({ ...patient, to: "gateways", attempt: () => tellOthers(alarm) })
    for (const each of channels) this.#startChannel(each, alarm, patient)
    onRaised(event)
    log.warn("safety.event", { id, category, severity, source })
    await record(event, reporter)
    return { id, duplicate: false }
  }

  #startService(event: SafetyEvent, service: AlarmService, sharer: string, worker: number): void {
    const { giveUpAfterMs, ...call } = service
    const { workers } = this.#options
    const { id } = event
    this.#handingOn.start({
      event: id,
      to: "service",
      giveUpAfterMs,
      sharer,
      // The worker that was told first knows the service; another may be alive where that one is not.
      attempt: (attempts) => this.#call((worker + attempts) % workers, id, call, serviceView(event)),
    })
  }

  #startChannel(
    each: AlarmChannel,
    { id, text }: Alarm,
    patient: Pick<Errand, "event" | "giveUpAfterMs" | "sharer">,
  ): void {
    const { publish } = this.#options
    // The same that the push holds.
    const data = `{"safety":{${text.slice('{"push":"safety",'.length)}}`
    this.#handingOn.start({ ...patient, to: "channel", attempt: () => publish(each, data, `safety:${id}`) })
  }

  #call(
    worker: number,
    id: string,
    call: Omit<AlarmService, "giveUpAfterMs">,
    event: object,
  ): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const over = (taken: boolean): void => {
      this.#calls.delete(id)
      resolve(taken)
    }
    // Another event with this id may be under way, where its key was used again after so long that it was forgotten.
    this.#calls.get(id)?.over(false)
    this.#calls.set(id, { worker, until: this.#options.now() + call.timeout + REPORT_MS, over })
    this.#tellOne(worker, { do: "call", id, call, event })
    return promise
  }

  /** False: it was known. */
  #learn(id: string): boolean {
    const now = this.#options.now()
    if ((this.#known.get(id) ?? 0) > now) return false
    this.#known.set(id, now + KNOWN_MS)
    return true
  }

  #handedOn({ event, to }: Errand, result: HandedOn, attempts: number): void {
    const { log, onHandedOn, onUndelivered } = this.#options
    onHandedOn(to, result)
    if (result === "given_up") {
      log.error("safety.undelivered", { id: event, to, attempts })
      onUndelivered(event, to, attempts)
    } else if (result === "failed" && attempts === 1) log.warn("safety.delayed", { id: event, to })
  }
}

/** The same for all gateways, so that each knows the event again. */
const idOf = (key: string): string =>
  late.crypto.createHash("sha256").update(key).digest("base64url").slice(0, 22)
