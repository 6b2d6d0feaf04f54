/**
 * What stands for one client: an IPv4 address as it is, of an IPv6 address its first 64 bits, as whoever has one
 * has all of them. IPv4 within IPv6 ("::ffff:192.0.2.1") is IPv4. Takes what the edge gives as an address.
 */
export function clientNetwork(address: string): string {
  if (!address.includes(":")) return address
  const plain = address.split("%", 1)[0]!.toLowerCase()
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(plain)
  if (mapped !== null) return mapped[1]!
  const [head = "", tail] = plain.split("::")
  const before = head === "" ? [] : head.split(":")
  const after = tail === undefined || tail === "" ? [] : tail.split(":")
  // The last four digits may be written as an IPv4 address, which is two groups.
  const width = before.length + after.length + (plain.includes(".") ? 1 : 0)
  const groups = tail === undefined ? before : [...before, ...Array(8 - width).fill("0"), ...after]
  const first = groups.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16))
  return `${first.join(":")}::/64`
}
