import type { Principal } from "../../identity/principal.ts"
import type { Clock } from "../../lib/clock.ts"
import { parseRate } from "../../lib/rate.ts"
import type { Log } from "../../observe/log.ts"
import { type Failure, fail } from "../../policies/failure.ts"
import type { SafetyEventOptions } from "../../safety/safety_options.ts"
import { SafetyReports, type SafetyReportsOptions } from "../safety/reports.ts"
import type { CallService } from "./call_service.ts"
import type { Published } from "./channel_store.ts"
import { forwardMessage, forwardOrder, isForwarded } from "./forward.ts"
import type { ForwardEvent, HubEvent } from "./hub_messages.ts"
import { type Link, UNAVAILABLE } from "./link.ts"
import { MessageDesk } from "./message_desk.ts"
import type { FrameCodec } from "./message_pack.ts"
import { compileNamespaces, type Namespace, type Namespaces } from "./namespaces.ts"
import type { RealtimeOptions } from "./options.ts"
import { CONNECT_WITHIN_MS } from "./protocol.ts"
import { Rooms } from "./rooms.ts"
import { SocketTransport } from "./socket_transport.ts"
import type {
  NotPublished,
  PublishOptions,
  RealtimeSettings,
  RealtimeWorld,
  SessionIdentity,
  SessionMember,
  SocketMember,
} from "./world.ts"

export interface RealtimeDeps {
  readonly link: Link
  readonly identity: SessionIdentity
  readonly call: CallService
  /** How safety events come and go. */
  readonly safety: Omit<SafetyReportsOptions, "sessions" | "log">
  readonly now: Clock
  readonly wallClock: () => number
  /** A word nobody can guess. */
  readonly newId: () => string
  /** Sends a text to all sockets of this worker that have joined the topic. */
  readonly publish: (topic: string, frame: string) => void
  readonly log: Log
}

/** Characters published to topics after which sockets are looked at for what they have not read. */
const CHECK_CHARS = 256 * 1024

/** Channels on one worker: its sessions, and the configuration in force. */
export class Realtime implements RealtimeWorld {
  readonly link: Link
  readonly rooms: Rooms
  readonly sessions = new Set<SessionMember>()
  readonly sockets = new Set<SocketMember>()
  readonly slow = new Map<string, Set<SocketMember>>()
  readonly safety: SafetyReports
  readonly identity: SessionIdentity
  readonly call: CallService
  readonly now: Clock
  readonly wallClock: () => number
  readonly newId: () => string
  readonly log: Log
  readonly #deps: RealtimeDeps
  #options: RealtimeOptions | undefined
  #settings: RealtimeSettings | undefined
  #namespaces: Namespaces = NO_NAMESPACES
  readonly #messages: MessageDesk
  #draining = false
  #published = 0

  constructor(deps: RealtimeDeps) {
    this.#deps = deps
    this.link = deps.link
    this.identity = deps.identity
    this.call = deps.call
    this.now = deps.now
    this.wallClock = deps.wallClock
    this.newId = deps.newId
    this.log = deps.log
    this.safety = new SafetyReports({ ...deps.safety, sessions: this.sessions, log: deps.log })
    this.#messages = new MessageDesk({
      call: deps.call,
      safety: this.safety,
      publish: (namespace, channel, text, options) => this.#publishText(namespace, channel, text, options),
    })
    this.rooms = new Rooms({
      link: deps.link,
      now: deps.now,
      publish: (topic, frame) => this.#publishTopic(topic, frame),
      maxBuffered: () => this.settings.maxBuffered,
    })
  }

  /** `undefined`: config has no section `realtime`. */
  get options(): RealtimeOptions | undefined {
    return this.#options
  }

  get settings(): RealtimeSettings {
    // Sessions begin with a section only; those there are end when it goes.
    return this.#settings!
  }

  get methods(): RealtimeWorld["methods"] {
    return this.#options?.rpc ?? {}
  }

  get namespaces(): Namespaces {
    return this.#namespaces
  }

  /**
   * Takes the section of a new configuration. Subscriptions whose namespace is as it was stay; connections stay as long
   * as the endpoint does.
   */
  apply(options: RealtimeOptions | undefined, events: SafetyEventOptions | undefined): void {
    const before = this.#options
    const namespaces = options === undefined ? NO_NAMESPACES : compileNamespaces(options)
    this.#options = options
    this.#namespaces = namespaces
    this.#messages.apply(options)
    this.safety.apply(events, namespaces)
    if (options !== undefined) this.#settings = toSettings(options)
    if (before === undefined) return
    if (before.path === options?.path) this.rooms.apply(namespaces)
    else this.#closeAll(4006)
  }

  /** A handler for a WebSocket whose handshake is about to be answered, or why there is none. */
  accept(
    address: string,
    principal: Principal | undefined,
    codec?: FrameCodec | undefined,
  ): SocketTransport | Failure {
    if (this.#options === undefined) return fail("NOT_FOUND")
    if (this.#draining) return fail("SHUTTING_DOWN", { retryAfterS: 1 })
    // The hub counts exactly; this holds what it has not counted yet.
    if (this.sessions.size >= this.#options.max_connections) return fail("OVERLOADED", { retryAfterS: 1 })
    return new SocketTransport(this, address, principal, codec)
  }

  async publish(
    namespace: Namespace,
    channel: string,
    data: unknown,
    options: PublishOptions,
  ): Promise<Published | NotPublished> {
    const text = JSON.stringify(data)
    if (Buffer.byteLength(text) > namespace.options.max_message) return "TOO_LARGE"
    if (options.principal?.kind === "service") return this.#publishText(namespace, channel, text, options)
    return this.#messages.publish(namespace, channel, { data, text }, options)
  }

  async #publishText(
    namespace: Namespace,
    channel: string,
    text: string,
    options: PublishOptions,
  ): Promise<Published | NotPublished> {
    const { publisher, key } = options
    const { forward } = namespace.options
    const published = await this.link.ask({
      do: "publish",
      channel,
      namespace: namespace.name,
      request: { data: text, publisher, key },
      retention: namespace.retention,
      forward: forward && isForwarded(forward, options) ? forwardOrder(forward, options) : undefined,
    })
    return published === UNAVAILABLE ? "UNAVAILABLE" : published
  }

  /** What the hub tells. */
  told(events: readonly HubEvent[]): void {
    for (const event of events)
      switch (event.type) {
        case "forward":
          void this.#forward(event)
          break
        case "survey":
          void this.link.ask({ do: "surveyed", id: event.id, counts: this.rooms.counts(event) })
          break
        default:
          this.rooms.told(event)
      }
  }

  /** Resolves when services have got what they should, or after so many ms. */
  async drainForwards(withinMs: number): Promise<void> {
    // Without channels there is nothing to wait for, and maybe nobody to ask.
    if (this.#options === undefined) return
    await this.link.ask({ do: "drain_forwards", withinMs })
  }

  async #forward(event: ForwardEvent): Promise<void> {
    const outcome = await forwardMessage(event, this.call)
    // Where the hub does not hear of it, it sends it again.
    void this.link.ask({ do: "forwarded", id: event.id, outcome })
  }

  /** Something was revoked: whoever was let in by it goes. */
  revoked(): void {
    for (const session of this.sessions) session.recheck()
  }

  /** Call about once a second. */
  tick(): void {
    const now = this.now()
    for (const socket of this.sockets) socket.tick(now)
    for (const session of this.sessions) session.tick()
    this.rooms.tick()
    this.link.tick()
  }

  /** The gateway is about to stop: clients are told to connect elsewhere. */
  shutdown(): void {
    this.#draining = true
    this.#closeAll(4000)
  }

  #closeAll(code: 4000 | 4006): void {
    for (const session of [...this.sessions]) session.close(code)
  }

  #publishTopic(topic: string, frame: string): void {
    this.#deps.publish(topic, frame)
    for (const socket of this.slow.get(topic) ?? NO_SOCKETS) socket.published(frame)
    this.#published += frame.length
    if (this.#published < CHECK_CHARS) return
    this.#published = 0
    for (const socket of this.sockets) socket.checkBuffer()
  }
}

const NO_SOCKETS: ReadonlySet<SocketMember> = new Set()
const NO_NAMESPACES: Namespaces = { find: () => undefined }

function toSettings(options: RealtimeOptions): RealtimeSettings {
  const rate = parseRate(options.rate)
  // The config check refuses such a rate.
  if (typeof rate === "string") throw new Error(`compiling realtime: rate: ${rate}`)
  return {
    anonymous: options.anonymous,
    limits: {
      max: options.max_connections,
      perUser: options.max_connections_per_user,
      perAddress: options.max_connections_per_ip,
    },
    maxSubscriptions: options.max_subscriptions,
    ratePerMs: rate.count / rate.perMs,
    burst: rate.count,
    maxMessage: options.max_message,
    maxBuffered: options.max_buffered,
    pingMs: options.ping_interval,
    connectWithinMs: CONNECT_WITHIN_MS,
  }
}
