import { AddressList } from "../lib/address_list.ts"
import { clientNetwork } from "../lib/client_network.ts"
import type { Clock } from "../lib/clock.ts"
import { remember } from "../lib/remember.ts"
import type { BlockChange, BlockEntry } from "./block.ts"

/** Taking an IPv6 address apart costs more than all the rest; IPv4 is what it is. */
const networkOfIpv6 = remember(clientNetwork, 4096)
export const networkOf = (address: string): string =>
  address.includes(":") ? networkOfIpv6(address) : address

/** A worker blocks by itself for this long: until then the control plane has said for how long, or does not agree. */
const SUSPICION_MS = 1000
/** Clients a worker suspects at a time; beyond, nobody more until it has looked through them. */
const MAX_SUSPECTS = 10_000

/** Told what became of a request of a blocked client. */
export interface BlockedCount {
  refused(): void
  /** It went on, as the mode is shadow. */
  shadowed(): void
}

/** Who is blocked, as one worker knows it: what the control plane has told. Bounded there. */
export class ClientBlocks {
  readonly #now: Clock
  readonly #count: BlockedCount
  readonly #entries = new Map<string, BlockEntry>()
  readonly #suspects = new Set<string>()
  /** False: only blocks by hand are enforced. */
  enforced = false
  /** Who is let in although the rest of its IPv6 network is blocked. */
  exempt = new AddressList([])

  constructor(now: Clock, count: BlockedCount) {
    this.#now = now
    this.#count = count
  }

  /** Whether anybody is blocked: without, nothing has to be looked up. */
  get any(): boolean {
    return this.#entries.size > 0
  }

  take({ blocked, ended }: BlockChange): void {
    for (const client of ended) this.#entries.delete(client)
    for (const entry of blocked) {
      this.#entries.set(entry.client, entry)
      this.#suspects.delete(entry.client)
    }
  }

  /** Blocks a client for a moment. `false`: there are too many such; the client can be found again. */
  suspect(client: string): boolean {
    if (this.#suspects.size >= MAX_SUSPECTS) return false
    this.#suspects.add(client)
    this.#entries.set(client, { client, untilMs: this.#now() + SUSPICION_MS, byHand: false })
    return true
  }

  /** Once a second: forgets suspicions that nobody has shared. */
  tick(): void {
    for (const client of this.#suspects) {
      if (this.has(client)) continue
      this.#suspects.delete(client)
      this.#entries.delete(client)
    }
  }

  /** Whole seconds until a request from this address is answered again; 0: now. Counts. */
  refuses(address: string): number {
    if (this.#entries.size === 0) return 0
    const entry = this.#entries.get(networkOf(address))
    if (entry === undefined) return 0
    const leftMs = entry.untilMs - this.#now()
    if (leftMs <= 0 || (address.includes(":") && this.exempt.has(address))) return 0
    if (!this.enforced && !entry.byHand) {
      this.#count.shadowed()
      return 0
    }
    this.#count.refused()
    return Math.ceil(leftMs / 1000)
  }

  /** Whether it is blocked just now, be it enforced or not. `client`: from `networkOf`. */
  has(client: string): boolean {
    const entry = this.#entries.get(client)
    return entry !== undefined && entry.untilMs > this.#now()
  }
}
