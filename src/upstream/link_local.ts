import { BlockList, isIPv6 } from "node:net"

/** Link-local ranges, where clouds keep the metadata and credentials of a machine, and their IPv6 spellings. */
const RANGES = new BlockList()
RANGES.addSubnet("169.254.0.0", 16)
RANGES.addSubnet("fe80::", 10, "ipv6")
RANGES.addSubnet("::ffff:169.254.0.0", 112, "ipv6")
RANGES.addSubnet("64:ff9b::a9fe:0", 112, "ipv6")
RANGES.addAddress("fd00:ec2::254", "ipv6")

/** Whether an IP address, of either version, is link-local or a cloud's metadata service. */
export function isLinkLocal(address: string): boolean {
  return RANGES.check(address, isIPv6(address) ? "ipv6" : "ipv4")
}
