import { BlockList, isIPv4, isIPv6 } from "node:net"
import type { Exchange } from "../upstream/exchange.ts"

/** Peers whose word about the client is believed: addresses and CIDR ranges from `server.trusted_proxies`. */
export class TrustedProxies {
  readonly #list = new BlockList()
  readonly #none: boolean

  /** Throws `Error` naming the entry that is neither an address nor a range. */
  constructor(entries: readonly string[]) {
    this.#none = entries.length === 0
    for (const entry of entries) addEntry(this.#list, entry)
  }

  trusts(address: string): boolean {
    if (this.#none) return false
    if (isIPv4(address)) return this.#list.check(address, "ipv4")
    return isIPv6(address) && this.#list.check(address, "ipv6")
  }
}

function addEntry(list: BlockList, entry: string): void {
  const [address = "", bits, ...more] = entry.split("/")
  const family = isIPv4(address) ? "ipv4" : isIPv6(address) ? "ipv6" : undefined
  const width = family === "ipv4" ? 32 : 128
  const valid = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= width)
  if (family === undefined || !valid || more.length > 0) {
    throw new Error(`"${entry}" is neither an address nor a range; write 10.0.0.1 or 10.0.0.0/8`)
  }
  if (bits === undefined) list.addAddress(address, family)
  else list.addSubnet(address, Number(bits), family)
}

/** More hops than this in X-Forwarded-For are not looked at. */
const MAX_HOPS = 32

/**
 * Settles who the client is and writes the X-Forwarded-* fields for the service. What a peer that is not
 * trusted says about earlier hops is dropped. The client is the last address that no trusted proxy vouches
 * for, read from the right (the only end an attacker cannot write).
 */
export function settleClient(exchange: Exchange, proxies: TrustedProxies): void {
  const { arrival, requestEdits } = exchange
  let chain = arrival.peer
  let host = exchange.host
  if (proxies.trusts(arrival.peer)) {
    const hops = (exchange.header("x-forwarded-for") ?? "")
      .split(",")
      .map((hop) => hop.trim())
      .filter((hop) => isIPv4(hop) || isIPv6(hop))
      .slice(-MAX_HOPS)
    const client = [...hops].reverse().find((hop) => !proxies.trusts(hop))
    exchange.client = client ?? hops[0] ?? arrival.peer
    if (hops.length > 0) chain = `${hops.join(", ")}, ${arrival.peer}`
    const scheme = exchange.header("x-forwarded-proto")
    if (scheme === "http" || scheme === "https") exchange.scheme = scheme
    host = exchange.header("x-forwarded-host") ?? host
  }
  requestEdits.added.push(
    "x-forwarded-for",
    chain,
    "x-forwarded-proto",
    exchange.scheme,
    "x-forwarded-host",
    host,
  )
}
