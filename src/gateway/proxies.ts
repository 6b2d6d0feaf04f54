import { LineNames } from "../http1/fields.ts"
import { AddressList } from "../lib/address_list.ts"
import { isIPv4, isIPv6 } from "../lib/ip.ts"
import { canonicalHost } from "../lib/target.ts"
import type { Exchange } from "../upstream/exchange.ts"

/** Peers whose word about the client is believed: addresses and CIDR ranges from `server.trusted_proxies`. */
export class TrustedProxies {
  readonly #list: AddressList
  readonly #none: boolean

  constructor(entries: readonly string[]) {
    this.#none = entries.length === 0
    this.#list = new AddressList(entries)
  }

  trusts(address: string): boolean {
    return !this.#none && this.#list.has(address)
  }
}

const NAMES = new LineNames(["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"])

/** More hops than this in X-Forwarded-For are not looked at. */
const MAX_HOPS = 32

/**
 * Settles who the client is and writes the X-Forwarded-* fields for the service. What a peer that is not
 * trusted says about earlier hops is dropped. The client is the last address that no trusted proxy vouches
 * for, read from the right (the only end an attacker cannot write); what is no address ends the reading.
 * Tells whether the peer is trusted.
 */
export function settleClient(exchange: Exchange, proxies: TrustedProxies): boolean {
  const { arrival, requestEdits, host } = exchange
  const { peer, kept } = arrival
  if (!proxies.trusts(peer)) {
    let told = kept?.forwarded
    if (told?.host !== host) {
      told = { host, lines: forwardedLines(peer, exchange.scheme, host) }
      if (kept !== undefined) kept.forwarded = told
    }
    requestEdits.put(NAMES, told.lines)
    return false
  }
  const hops = believedHops(exchange.header("x-forwarded-for") ?? "", proxies)
  if (hops.length > 0) exchange.client = hops[0]!
  const scheme = exchange.header("x-forwarded-proto")
  if (scheme === "http" || scheme === "https") exchange.scheme = scheme
  const claimed = canonicalHost(exchange.header("x-forwarded-host") ?? "") ?? host
  requestEdits.put(NAMES, forwardedLines([...hops, peer].join(", "), exchange.scheme, claimed))
  return true
}

/** Of addresses and a host in canonical form: no value can end its line. */
function forwardedLines(chain: string, scheme: string, host: string): string {
  return `x-forwarded-for: ${chain}\r\nx-forwarded-proto: ${scheme}\r\nx-forwarded-host: ${host}\r\n`
}

/** The client, then the trusted proxies between it and the peer: the part of the list that can be believed. */
function believedHops(list: string, proxies: TrustedProxies): readonly string[] {
  const hops: string[] = []
  for (const entry of list.split(",").slice(-MAX_HOPS).reverse()) {
    const address = plainAddress(entry.trim())
    if (address === undefined) break
    hops.unshift(address)
    if (!proxies.trusts(address)) break
  }
  return hops
}

/** The address of an entry, which some proxies write with its port. */
function plainAddress(entry: string): string | undefined {
  if (isIPv4(entry) || isIPv6(entry)) return entry
  const bare = /^(?:\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|([0-9.]+):\d{1,5})$/.exec(entry)
  const address = bare?.[1] ?? bare?.[2] ?? ""
  return isIPv4(address) || isIPv6(address) ? address : undefined
}
