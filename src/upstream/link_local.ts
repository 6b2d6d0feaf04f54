import { AddressList } from "../lib/address_list.ts"

/** Link-local ranges, where clouds keep the metadata and credentials of a machine, and their IPv6 spellings. */
const RANGES = new AddressList([
  "169.254.0.0/16",
  "fe80::/10",
  "::ffff:169.254.0.0/112",
  "64:ff9b::a9fe:0/112",
  "fd00:ec2::254",
])

/** Whether an IP address, of either version, is link-local or a cloud's metadata service. */
export function isLinkLocal(address: string): boolean {
  return RANGES.has(address)
}
