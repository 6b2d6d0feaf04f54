import { BlockList, type IPVersion, isIPv4, isIPv6 } from "node:net"

interface Range {
  readonly address: string
  readonly bits: number
  readonly family: IPVersion
}

/** IP addresses and CIDR ranges, of both versions. An entry that is neither matches nothing. */
export class AddressList {
  readonly #list = new BlockList()

  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      const range = parseRange(entry)
      if (range !== undefined) this.#list.addSubnet(range.address, range.bits, range.family)
    }
  }

  /** `false` for what is no IP address. */
  has(address: string): boolean {
    if (isIPv4(address)) return this.#list.check(address, "ipv4")
    return isIPv6(address) && this.#list.check(address, "ipv6")
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
