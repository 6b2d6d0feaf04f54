import { isIP, isIPv6 } from "../../lib/ip.ts"

const DNS_PORT = 53

/** A name server as the resolver takes it, `address:port`; `undefined`: it is no `address` or `address:port`. */
export function parseServer(text: string): string | undefined {
  if (isIP(text) !== 0) return isIPv6(text) ? `[${text}]:${DNS_PORT}` : `${text}:${DNS_PORT}`
  const split = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text)
  if (split === null) return undefined
  const [, six, four, port = `${DNS_PORT}`] = split
  if (Number(port) < 1 || Number(port) > 65_535) return undefined
  if (six !== undefined) return isIPv6(six) ? `[${six}]:${port}` : undefined
  return isIP(four!) === 4 ? `${four}:${port}` : undefined
}
