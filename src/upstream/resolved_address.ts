import { lookup } from "node:dns/promises"
import { isIP } from "node:net"
import type { Clock } from "../lib/clock.ts"
import type { Address } from "./address.ts"

/** How long a name's addresses are taken as they are. */
export const NAME_TTL_MS = 30_000

/** Finds the IP addresses of a name; rejects when there are none. */
export type LookUp = (name: string) => Promise<readonly string[]>

export const lookUpName: LookUp = async (name) =>
  (await lookup(name, { all: true, order: "ipv4first" })).map(({ address }) => address)

/**
 * An address whose host name outlives its name server. While the name was found within `NAME_TTL_MS` the
 * runtime resolves it (and tries its addresses side by side). After that the addresses found last are used,
 * in turn, and the name is looked up again beside them. A name that was never found fails to connect.
 * A pool reads the name it verifies certificates against when it is made: then `target` still is the name.
 */
export class ResolvedAddress implements Address {
  readonly text: string
  readonly tls: boolean
  readonly authority: string
  readonly #named: Address["target"]
  readonly #name: string
  readonly #port: number
  readonly #lookUp: LookUp
  readonly #now: Clock
  #addresses: readonly string[] = []
  #freshUntil = 0
  #nextTry = 0
  #turn = 0

  constructor(address: Address, port: number, name: string, lookUp: LookUp, now: Clock) {
    this.text = address.text
    this.tls = address.tls
    this.authority = address.authority
    this.#named = address.target
    this.#name = name
    this.#port = port
    this.#lookUp = lookUp
    this.#now = now
  }

  get target(): Address["target"] {
    const at = this.#now()
    if (at < this.#freshUntil) return this.#named
    if (at >= this.#nextTry) void this.#refresh(at)
    if (this.#addresses.length === 0) return this.#named
    const hostname = this.#addresses[this.#turn++ % this.#addresses.length]!
    return { hostname, port: this.#port }
  }

  async #refresh(at: number): Promise<void> {
    // One lookup at a time, and at most one a second while they fail.
    this.#nextTry = Number.POSITIVE_INFINITY
    try {
      this.#addresses = await this.#lookUp(this.#name)
      this.#freshUntil = this.#now() + NAME_TTL_MS
      this.#nextTry = this.#freshUntil
    } catch {
      // What was found last stays in use; whoever connects without any learns the reason from the runtime.
      this.#nextTry = Math.max(at, this.#now()) + 1000
    }
  }
}

/** The address as the pool should use it: host names are kept alive, IP addresses and sockets are left alone. */
export function keepResolved(address: Address, lookUp: LookUp, now: Clock): Address {
  if ("unix" in address.target) return address
  const { hostname, port } = address.target
  if (hostname === "localhost" || isIP(hostname) !== 0) return address
  return new ResolvedAddress(address, port, hostname, lookUp, now)
}
