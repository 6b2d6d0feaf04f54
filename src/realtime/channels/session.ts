import type { Principal } from "../../identity/principal.ts"
import { type Client, leaveRoom, runCommand } from "./commands.ts"
import { decodeFrame } from "./decode.ts"
import { UNAVAILABLE } from "./link.ts"
import type { CloseCode, Command, CommandOf } from "./protocol.ts"
import { errorText, replyText } from "./replies.ts"
import type { Subscriber, Subscription } from "./room.ts"
import type { RealtimeWorld } from "./world.ts"

/** What carries a session: a WebSocket, or what stands in for one. */
export interface Transport extends Pick<Subscriber, "send" | "join" | "part" | "read"> {
  /** Address of the client. */
  readonly address: string
  /** Sends one JSON text before all that still waits to be sent. */
  urgent(text: string): void
  /** Ends the connection. The session is over already. */
  close(code: CloseCode): void
}

/** Commands that wait until it is known who the client is. */
const MAX_QUEUED = 128
/** A client this many commands over its rate, without a pause, is closed. */
const PATIENCE = 100

/** `connecting`: the hub, or who vouches for a token, is being asked. `waiting`: for `connect`. */
type State = "connecting" | "waiting" | "connected" | "over"

/** One client that talks the protocol: who it is, what it is subscribed to, and what it may. */
export class Session implements Client {
  readonly id: string
  readonly subscriptions = new Map<string, Subscription>()
  readonly join: Subscriber["join"]
  readonly part: Subscriber["part"]
  readonly read: Subscriber["read"]
  readonly #transport: Transport
  readonly #world: RealtimeWorld
  readonly #openedAt: number
  #state: State = "connecting"
  #principal: Principal | undefined
  #device = ""
  #queue: Command[] = []
  /** Commands it may send just now, and when that was counted. */
  #allowance: number
  #countedAt: number
  #refused = 0

  /** `principal`: whom the handshake proved; `undefined`: `connect` has to. Call `start` next. */
  constructor(transport: Transport, world: RealtimeWorld, principal: Principal | undefined) {
    this.#transport = transport
    this.#world = world
    this.#principal = principal
    this.id = world.newId()
    this.#openedAt = this.#countedAt = world.now()
    this.#allowance = world.settings.burst
    this.join = transport.join
    this.part = transport.part
    this.read = transport.read
    world.sessions.add(this)
  }

  get principal(): Principal | undefined {
    return this.#principal
  }

  get gone(): boolean {
    return this.#isOver()
  }

  get device(): string {
    return this.#device
  }

  /** Asks to be let in. Resolves when that is decided; frames may come before. */
  async start(): Promise<void> {
    const refused = await this.#open(this.#principal)
    if (this.#state === "over") return
    if (refused !== undefined) this.close(refused)
    else this.#enter(this.#principal === undefined ? "waiting" : "connected")
  }

  send(text: string): void {
    if (this.#state !== "over") this.#transport.send(text)
  }

  alert(text: string): void {
    if (this.#state === "connected") this.#transport.urgent(text)
  }

  ended(channel: string, resubscribe: boolean, reason: string): void {
    const subscription = this.subscriptions.get(channel)
    if (subscription === undefined) return
    this.subscriptions.delete(channel)
    leaveRoom(this, subscription, this.#world)
    this.send(JSON.stringify({ push: "unsubscribe", channel, resubscribe, reason }))
  }

  /** One frame of the client. */
  receive(text: string): void {
    if (this.#state === "over") return
    const decoded = decodeFrame(text)
    if (decoded === undefined) {
      this.close(4501)
      return
    }
    for (const one of decoded) {
      if (!this.#mayTalk()) {
        this.send(errorText(one.kind === "unfit" ? one.id : one.command.id, "RATE_LIMITED"))
        if (++this.#refused > PATIENCE) this.close(4004)
      } else if (one.kind === "unfit") this.send(errorText(one.id, "INVALID_COMMAND"))
      else this.#take(one.command)
    }
  }

  /** Ends the connection. */
  close(code: CloseCode): void {
    if (this.#state === "over") return
    this.over(code)
    this.#transport.close(code)
  }

  /** The connection has ended; `code`: how. */
  over(code: number): void {
    if (this.#state === "over") return
    this.#state = "over"
    this.#queue = []
    const world = this.#world
    for (const subscription of this.subscriptions.values()) leaveRoom(this, subscription, world)
    this.subscriptions.clear()
    world.sessions.delete(this)
    void world.link.ask({ do: "close", client: this.id, code })
  }

  /** Ends what has lasted too long. Call about once a second. */
  tick(): void {
    const { now, wallClock, settings } = this.#world
    const nobody = this.#principal === undefined && this.#state !== "connected"
    if (nobody && now() - this.#openedAt > settings.connectWithinMs) this.close(4500)
    else if (this.#principal !== undefined && wallClock() >= this.#principal.expiresAt) this.close(4003)
  }

  /** Ends the session if what proved its client was revoked. */
  recheck(): void {
    if (this.#principal !== undefined && this.#world.identity.isRevoked(this.#principal)) this.close(4503)
  }

  #mayTalk(): boolean {
    const { now, settings } = this.#world
    const at = now()
    this.#allowance = Math.min(settings.burst, this.#allowance + (at - this.#countedAt) * settings.ratePerMs)
    this.#countedAt = at
    if (this.#allowance < 1) return false
    this.#allowance--
    if (this.#allowance > settings.burst / 2) this.#refused = 0
    return true
  }

  /** Commands that need to know who asks wait for it, in order. */
  #take(command: Command): void {
    const { type, id } = command
    switch (this.#state) {
      case "over":
        return
      case "connecting":
        if (this.#queue.push(command) > MAX_QUEUED) this.close(4004)
        return
      case "waiting":
        if (type === "connect") void this.#connect(command)
        else this.send(type === "ping" ? replyText<"ping">(id, {}) : errorText(id, "UNAUTHENTICATED"))
        return
      case "connected":
        if (type === "connect") this.send(this.#connectAgain(command))
        else void this.#run(command)
    }
  }

  async #run(command: Exclude<Command, { type: "connect" }>): Promise<void> {
    try {
      const reply =
        command.type === "refresh" ? this.#refresh(command) : runCommand(this, command, this.#world)
      const text = typeof reply === "string" ? reply : await reply
      if (text !== undefined) this.send(text)
    } catch (error) {
      this.#world.log.error("realtime.fault", { error })
      this.send(errorText(command.id, "INTERNAL"))
    }
  }

  #enter(state: "waiting" | "connected"): void {
    this.#state = state
    const queue = this.#queue
    this.#queue = []
    for (const command of queue) this.#take(command)
  }

  async #open(principal: Principal | undefined): Promise<CloseCode | undefined> {
    const { link, settings } = this.#world
    const { address } = this.#transport
    const user = principal?.id ?? ""
    const opened = await link.ask({ do: "open", client: this.id, user, address, limits: settings.limits })
    if (opened === "opened") return undefined
    return opened === UNAVAILABLE || opened === "process" ? 4005 : 4504
  }

  /** The client is known already: it may only say which device it is, before it subscribes. */
  #connectAgain({ id, token, ticket, session }: CommandOf<"connect">): string {
    const late = session !== undefined && session !== this.#device && this.subscriptions.size > 0
    if (token !== undefined || ticket !== undefined || late) return errorText(id, "INVALID_COMMAND")
    this.#device = session ?? this.#device
    return this.#connectedText(id)
  }

  async #connect({ id, token, ticket, session }: CommandOf<"connect">): Promise<void> {
    this.#state = "connecting"
    const principal = await this.#identify(token, ticket)
    if (principal === "unavailable") {
      this.send(errorText(id, "UNAVAILABLE"))
      if (!this.#isOver()) this.#enter("waiting")
      return
    }
    if (principal === "invalid") {
      this.send(errorText(id, "INVALID_TOKEN"))
      this.close(4502)
      return
    }
    const refused = principal === undefined ? undefined : await this.#open(principal)
    if (refused !== undefined) this.close(refused)
    this.#principal = principal
    // It may have been revoked while it was looked at: nobody tells again.
    this.recheck()
    if (this.#isOver()) return
    this.#device = session ?? ""
    this.send(this.#connectedText(id))
    this.#enter("connected")
  }

  /** What an await may have changed, the compiler does not know. */
  #isOver(): boolean {
    return this.#state === "over"
  }

  async #identify(
    token: string | undefined,
    ticket: string | undefined,
  ): Promise<Principal | undefined | "invalid" | "unavailable"> {
    const { identity, settings, link } = this.#world
    if (token !== undefined && ticket === undefined) return identity.verify(token, this.#transport.address)
    if (ticket !== undefined && token === undefined) {
      const principal = await link.ask({ do: "take_ticket", ticket })
      return principal === UNAVAILABLE ? "unavailable" : (principal ?? "invalid")
    }
    return token === undefined && settings.anonymous ? undefined : "invalid"
  }

  #connectedText(id: number): string {
    const user = this.#principal?.id
    return replyText<"connect">(id, {
      client: this.id,
      ...(user !== undefined && { user }),
      ...this.#expiry(),
      ping: this.#world.settings.pingMs / 1000,
    })
  }

  #expiry(): { readonly expires_in?: number } {
    const until = this.#principal?.expiresAt ?? Number.POSITIVE_INFINITY
    if (until === Number.POSITIVE_INFINITY) return {}
    return { expires_in: Math.max(0, Math.floor((until - this.#world.wallClock()) / 1000)) }
  }

  async #refresh({ id, token }: CommandOf<"refresh">): Promise<string> {
    const found = await this.#world.identity.verify(token, this.#transport.address)
    if (found === "unavailable") return errorText(id, "UNAVAILABLE")
    if (found === "invalid") return errorText(id, "INVALID_TOKEN")
    if (found.id !== this.#principal?.id || found.kind !== this.#principal.kind)
      return errorText(id, "FORBIDDEN", "The token is not of the user this connection belongs to.")
    this.#principal = found
    return replyText<"refresh">(id, this.#expiry())
  }
}
