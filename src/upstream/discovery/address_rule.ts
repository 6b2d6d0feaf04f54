import { AddressList } from "../../lib/address_list.ts"
import { isIP } from "../../lib/ip.ts"
import { parseAddress } from "../address.ts"
import { isLinkLocal } from "../link_local.ts"

/** Addresses that stand for this machine or for nobody in particular, by version. */
const SPECIAL = new AddressList([
  ...spellings("0.0.0.0", 8),
  ...spellings("127.0.0.0", 8),
  ...spellings("224.0.0.0", 3),
  ...spellings("169.254.0.0", 16),
  // Translated at a place of the network's own, with any of those in it (RFC 8215).
  "64:ff9b:1::/48",
  // "::", "::1" and what is compatible with IPv4 (RFC 4291, long out of use).
  "::/96",
  "ff00::/8",
])

/** An IPv4 range and the same in IPv6: mapped, translated (RFC 6052) and by 6to4 (RFC 3056). */
function spellings(range: string, bits: number): readonly string[] {
  const [a, b] = range.split(".").map(Number) as [number, number]
  return [
    `${range}/${bits}`,
    `::ffff:${range}/${96 + bits}`,
    `64:ff9b::${range}/${96 + bits}`,
    `2002:${((a << 8) | b).toString(16)}::/${16 + bits}`,
  ]
}

/** Metadata services that are not link-local: Azure, Alibaba, Oracle, Google. */
const METADATA = new AddressList(["168.63.129.16", "100.100.100.200", "192.0.0.192", "fd20:ce::254"])

/**
 * Which addresses the gateway may be sent to by what is not its config: no metadata services, link-local,
 * loopback, unspecified or multicast addresses, but for those the operator lists.
 */
export class AddressRule {
  readonly #allowed: AddressList

  /** `allow`: IP addresses and CIDR ranges. */
  constructor(allow: readonly string[]) {
    this.#allowed = new AddressList(allow)
  }

  /** Whether no connection may go to this IP address. */
  refuses(address: string): boolean {
    if (this.#allowed.has(address)) return false
    return isLinkLocal(address) || METADATA.has(address) || SPECIAL.has(address)
  }

  /**
   * Why no source may name an instance of this URL; `undefined`: it may. What a host name stands for is checked
   * when it is connected to.
   */
  problem(url: string): string | undefined {
    let hostname: string
    try {
      const { target } = parseAddress(url)
      if ("unix" in target) return "only config may name a Unix socket"
      hostname = target.hostname
    } catch (error) {
      return (error as Error).message
    }
    const plain = hostname.endsWith(".") ? hostname.slice(0, -1) : hostname
    const address = plain === "localhost" || plain.endsWith(".localhost") ? "127.0.0.1" : plain
    if (isIP(address) === 0 || !this.refuses(address)) return undefined
    return `${hostname} is a loopback, link-local, metadata or multicast address; discovery.allow may list it`
  }
}
