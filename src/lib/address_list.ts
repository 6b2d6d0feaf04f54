import type { BlockList, IPVersion } from "node:net"
import { isIPv4, isIPv6 } from "./ip.ts"
import { late } from "./late.ts"

interface Range {
  readonly address: string
  readonly bits: number
  readonly family: IPVersion
}

/** IP addresses and CIDR ranges, of both versions. An entry that is neither matches nothing. */
export class AddressList {
  readonly #entries: readonly string[]
  /** Made when it is asked for the first time. */
  #list: BlockList | undefined

  constructor(entries: readonly string[]) {
    this.#entries = entries
  }

  /** `false` for what is no IP address. */
  has(address: string): boolean {
    if (this.#entries.length === 0) return false
    if (isIPv4(address)) return this.#all().check(address, "ipv4")
    return isIPv6(address) && this.#all().check(address, "ipv6")
  }

  #all(): BlockList {
    if (this.#list === undefined) {
      this.#list = new late.net.BlockList()
      for (const { address, bits, family } of this.#entries.flatMap((entry) => parseRange(entry) ?? []))
        this.#list.addSubnet(address, bits, family)
    }
    return this.#list
  }
}

/** Whether it is an IP address or a CIDR range, of either version and without a zone. */
export function isAddressRange(entry: string): boolean {
  return parseRange(entry) !== undefined
}

function parseRange(entry: string): Range | undefined {
  const [address = "", bits, ...more] = entry.split("/")
  const family = isIPv4(address) ? "ipv4" : isIPv6(address) ? "ipv6" : undefined
  if (family === undefined || more.length > 0 || address.includes("%")) return undefined
  const longest = family === "ipv4" ? 32 : 128
  if (bits === undefined) return { address, bits: longest, family }
  return /^\d{1,3}$/.test(bits) && Number(bits) <= longest
    ? { address, bits: Number(bits), family }
    : undefined
}
