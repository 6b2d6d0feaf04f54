import type { Clock } from "../lib/clock.ts"
import { isIP } from "../lib/ip.ts"
import { late } from "../lib/late.ts"
import type { Address, NameResolver } from "./address.ts"
import { isLinkLocal } from "./link_local.ts"

/** How long a name's addresses are taken as they are. */
export const NAME_TTL_MS = 30_000
/** Wait between lookups of a name that was not found. */
const RETRY_MS = 1000

/** Finds the IP addresses of a name; rejects when there are none, never throws. */
export type LookUp = (name: string) => Promise<readonly string[]>

export const lookUpName: LookUp = async (name) =>
  (await late.dns.lookup(name, { all: true, order: "ipv4first" })).map(({ address }) => address)

export interface ResolverDeps {
  readonly lookUp: LookUp
  readonly now: Clock
  /** Whether an address must not be used; default: link-local ones must not. */
  readonly refuses?: ((address: string) => boolean) | undefined
  /** A lookup brought addresses that must not be used; told again only when they are others. */
  readonly onRefused: (addresses: readonly string[]) => void
}

/**
 * The addresses of a host name. They are used in turn, those that have not answered last; a name is looked up
 * again after `NAME_TTL_MS`, beside the requests. When its name server fails, the addresses found last stay in
 * use. What a name server says is not the operator's word: link-local addresses, where clouds keep credentials,
 * are never used, and nobody but this looks the name up, so no later answer can slip in.
 */
export class ResolvedName implements NameResolver {
  readonly #name: string
  readonly #deps: ResolverDeps
  #found: readonly string[] = []
  #problem = ""
  #refused = ""
  #nextLookUp = Number.NEGATIVE_INFINITY
  #lookingUp: Promise<void> | undefined
  readonly #unanswered = new Set<string>()
  #turn = 0

  constructor(name: string, deps: ResolverDeps) {
    this.#name = name
    this.#deps = deps
  }

  addresses(): readonly string[] | Promise<readonly string[]> {
    if (this.#lookingUp === undefined && this.#deps.now() >= this.#nextLookUp)
      this.#lookingUp = this.#refresh()
    if (this.#lookingUp === undefined || this.#found.length > 0) return this.#inTurn()
    return this.#lookingUp.then(() => this.#inTurn())
  }

  tried(address: string): void {
    this.#unanswered.add(address)
  }

  answered(address: string): void {
    this.#unanswered.delete(address)
  }

  #inTurn(): readonly string[] {
    const found = this.#found
    if (found.length === 0) throw new Error(this.#problem)
    if (found.length === 1) return found
    const start = this.#turn++ % found.length
    const turned = [...found.slice(start), ...found.slice(0, start)]
    const unanswered = this.#unanswered
    return [
      ...turned.filter((each) => !unanswered.has(each)),
      ...turned.filter((each) => unanswered.has(each)),
    ]
  }

  async #refresh(): Promise<void> {
    const { lookUp, now, onRefused, refuses = isLinkLocal } = this.#deps
    let waitMs = RETRY_MS
    try {
      const all = await lookUp(this.#name)
      const refused = all.filter(refuses)
      this.#found = all.filter((each) => !refuses(each))
      this.#unanswered.clear()
      if (this.#found.length > 0) waitMs = NAME_TTL_MS
      else if (refused.length === 0) this.#problem = `${this.#name} has no address`
      else this.#problem = `${this.#name} is ${refused.join(", ")}, which only the config may ask for`
      const told = refused.join()
      if (told !== "" && told !== this.#refused) onRefused(refused)
      this.#refused = told
    } catch (error) {
      // What was found last stays in use.
      this.#problem = `looking up ${this.#name}: ${error instanceof Error ? error.message : error}`
    } finally {
      this.#nextLookUp = now() + waitMs
      this.#lookingUp = undefined
    }
  }
}

/** The address as a pool should use it: host names get a resolver; IP addresses, sockets and localhost need none. */
export function keepResolved(address: Address, deps: ResolverDeps): Address {
  if ("unix" in address.target) return address
  const { hostname } = address.target
  if (hostname === "localhost" || isIP(hostname) !== 0) return address
  return { ...address, resolver: new ResolvedName(hostname, deps) }
}

/**
 * Host and port a WebSocket client should connect to: the config's own, or for a name one of its addresses.
 * Rejects when the name has none that may be used. Not for Unix sockets.
 */
export async function connectAuthority(address: Address): Promise<string> {
  if (address.resolver === undefined || "unix" in address.target) return address.authority
  const [host] = await address.resolver.addresses()
  return `${isIP(host!) === 6 ? `[${host}]` : host}:${address.target.port}`
}
