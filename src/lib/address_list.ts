import { BlockList, isIPv4, isIPv6 } from "node:net"

/** IP addresses and CIDR ranges, of both versions. An entry that is neither matches nothing. */
export class AddressList {
  readonly #list = new BlockList()

  constructor(entries: readonly string[]) {
    for (const entry of entries) {
      const [address = "", bits, ...more] = entry.split("/")
      const family = isIPv4(address) ? "ipv4" : isIPv6(address) ? "ipv6" : undefined
      if (family === undefined || more.length > 0) continue
      if (bits === undefined) this.#list.addAddress(address, family)
      else if (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === "ipv4" ? 32 : 128))
        this.#list.addSubnet(address, Number(bits), family)
    }
  }

  /** `false` for what is no IP address. */
  has(address: string): boolean {
    if (isIPv4(address)) return this.#list.check(address, "ipv4")
    return isIPv6(address) && this.#list.check(address, "ipv6")
  }
}
