import type { Principal } from "../../identity/principal.ts"
import { type Client, leaveRoom, showEntry } from "./commands.ts"
import type { Subscribed } from "./hub_messages.ts"
import { UNAVAILABLE } from "./link.ts"
import type { Namespace } from "./namespaces.ts"
import type { CloseCode, Position } from "./protocol.ts"
import type { Subscription } from "./room.ts"
import type { RealtimeWorld, SessionMember } from "./world.ts"

/** A channel somebody wants to read. */
export interface Wanted {
  readonly channel: string
  readonly namespace: Namespace
  /** `undefined`: from now on. */
  readonly since: Position | undefined
}

export interface ReaderListener {
  /** The answer to one of the channels; what is published comes by `send` after it. */
  subscribed(wanted: Wanted, answer: Subscribed): void
  /** A push, as JSON text. */
  send(text: string): void
  /** Ended by the gateway, once. */
  ended(code: CloseCode): void
  /** As `Subscriber` has it; absent: it takes all at once. */
  readonly read?: () => Promise<void> | undefined
  /** About once a second. */
  tick(): void
}

/**
 * A client that only reads, over plain HTTP: it says with each request where it stopped. It acknowledges nothing, so
 * `at_least_once` channels are read by position alike, as long as their history reaches back.
 */
export class Reader implements Client, SessionMember {
  readonly id: string
  readonly device = ""
  readonly principal: Principal | undefined
  readonly subscriptions = new Map<string, Subscription>()
  readonly #world: RealtimeWorld
  readonly #listener: ReaderListener
  #over = false

  constructor(world: RealtimeWorld, principal: Principal | undefined, listener: ReaderListener) {
    this.#world = world
    this.#listener = listener
    this.principal = principal
    this.id = world.newId()
    world.sessions.add(this)
  }

  /** Asks to be counted, then subscribes. The code: why not; the reader is over then. */
  async open(address: string, wanted: readonly Wanted[]): Promise<CloseCode | undefined> {
    const { link, settings } = this.#world
    const user = this.principal?.id ?? ""
    const opened = await link.ask({ do: "open", client: this.id, user, address, limits: settings.limits })
    if (this.#over) return 4000
    if (opened !== "opened") {
      const code = opened === UNAVAILABLE || opened === "process" ? 4005 : 4504
      this.leave(code)
      return code
    }
    for (const each of wanted)
      if (!(await this.#subscribe(each))) {
        this.leave(4005)
        return 4005
      }
    return undefined
  }

  send(text: string): void {
    if (!this.#over) this.#listener.send(text)
  }

  alert(text: string): void {
    this.send(text)
  }

  read(): Promise<void> | undefined {
    return this.#listener.read?.()
  }

  /** It comes back with its position, or hears then that it may not. */
  ended(): void {
    this.close(4006)
  }

  close(code: CloseCode): void {
    if (this.#over) return
    this.leave(code)
    this.#listener.ended(code)
  }

  recheck(): void {
    if (this.principal !== undefined && this.#world.identity.isRevoked(this.principal)) this.close(4503)
  }

  tick(): void {
    const { principal } = this
    if (principal !== undefined && this.#world.wallClock() >= principal.expiresAt) this.close(4003)
    else this.#listener.tick()
  }

  /** The client has left, or has what it came for. */
  leave(code: number): void {
    if (this.#over) return
    this.#over = true
    for (const subscription of this.subscriptions.values()) leaveRoom(this, subscription, this.#world)
    this.subscriptions.clear()
    this.#world.sessions.delete(this)
    void this.#world.link.ask({ do: "close", client: this.id, code })
  }

  async #subscribe(wanted: Wanted): Promise<boolean> {
    const { rooms } = this.#world
    const { channel, namespace, since } = wanted
    const subscription = rooms.enter(this, channel, namespace, "")
    this.subscriptions.set(channel, subscription)
    const answer = await rooms.subscribe(subscription, since)
    if (this.#over || answer === undefined) return false
    // At once, so that nothing comes between the two.
    this.#listener.subscribed(wanted, answer)
    rooms.begin(subscription, answer)
    showEntry(this, subscription, this.#world)
    return !this.#over
  }
}
