const BYTE = "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]\\d|\\d)"
const V4 = `(?:${BYTE}\\.){3}${BYTE}`
const GROUP = "[0-9a-fA-F]{1,4}"

/** After how many groups "::" stands, what may follow it. RFC 4291 section 2.2. */
const V6 = [
  `(?:${GROUP}:){7}(?:${GROUP}|:)`,
  `(?:${GROUP}:){6}(?:${V4}|:${GROUP}|:)`,
  `(?:${GROUP}:){5}(?::${V4}|(?::${GROUP}){1,2}|:)`,
  `(?:${GROUP}:){4}(?:(?::${GROUP}){0,1}:${V4}|(?::${GROUP}){1,3}|:)`,
  `(?:${GROUP}:){3}(?:(?::${GROUP}){0,2}:${V4}|(?::${GROUP}){1,4}|:)`,
  `(?:${GROUP}:){2}(?:(?::${GROUP}){0,3}:${V4}|(?::${GROUP}){1,5}|:)`,
  `(?:${GROUP}:){1}(?:(?::${GROUP}){0,4}:${V4}|(?::${GROUP}){1,6}|:)`,
  `(?::(?:(?::${GROUP}){0,5}:${V4}|(?::${GROUP}){1,7}|:))`,
].join("|")

const IPV4 = new RegExp(`^${V4}$`)
const IPV6 = new RegExp(`^(?:${V6})(?:%[0-9a-zA-Z\\-.:]+)?$`)

// The same answers as the functions of these names in node:net, which costs some ms to load.

/** Whether it is an IPv4 address of four decimal numbers without leading zeros. */
export const isIPv4 = (text: string): boolean => IPV4.test(text)

/** Whether it is an IPv6 address, with or without a zone ("%eth0"). */
export const isIPv6 = (text: string): boolean => IPV6.test(text)

/** 4 or 6, and 0 for what is no IP address. */
export const isIP = (text: string): 0 | 4 | 6 => (isIPv4(text) ? 4 : isIPv6(text) ? 6 : 0)
