import type { Exchange } from "../upstream/exchange.ts"

/** Makes sure the response's Vary names the request header, keeping what is there (RFC 9110 section 12.5.5). */
export function addVary(exchange: Exchange, name: string): void {
  const present = exchange.responseHeader("vary")
  if (present === undefined || present === "") {
    exchange.responseEdits.set("vary", name)
    return
  }
  for (const member of present.split(",")) {
    const token = member.trim()
    if (token === "*" || token.toLowerCase() === name.toLowerCase()) return
  }
  exchange.responseEdits.set("vary", `${present}, ${name}`)
}
