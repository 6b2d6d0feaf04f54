import type { Principal } from "../identity/principal.ts"
import { clientNetwork } from "../lib/client_network.ts"
import type { KeyedHash } from "../lib/keyed_hash.ts"
import { remember } from "../lib/remember.ts"
import type { Exchange } from "../upstream/exchange.ts"
import type { PolicyRoute } from "./policy.ts"

/** Takes into the hash what tells one caller from another. */
export type KeyPart = (hash: KeyedHash, exchange: Exchange) => void

/** What a text is, so that no user is ever taken for an address of the same letters. */
const KIND = {
  ip: 1,
  user: 2,
  service: 3,
  apiKey: 4,
  tier: 5,
  noTier: 6,
  route: 7,
  header: 8,
  claim: 9,
} as const

/** Taking an IPv6 address apart costs more than all the rest. */
const networkOf = remember(clientNetwork, 4096)

const byIp: KeyPart = (hash, { client }) => {
  hash.word(KIND.ip).text(networkOf(client))
}

// Ids are unique within who vouches for them only: another issuer's "7" is somebody else.
const byUser: KeyPart = (hash, exchange) => {
  const { principal } = exchange
  if (principal === undefined) byIp(hash, exchange)
  else hash.word(KIND[principal.kind]).text(principal.issuer).text(principal.id)
}

const byApiKey: KeyPart = (hash, exchange) => {
  const { principal } = exchange
  if (principal?.method === "api_key") hash.word(KIND.apiKey).text(principal.tokenId)
  else byUser(hash, exchange)
}

const byTier: KeyPart = (hash, { principal }) => {
  if (principal === undefined) hash.word(KIND.noTier)
  else hash.word(KIND.tier).text(principal.tier)
}

/** Compiles one part of `by`, which has been checked. */
export function compileKeyPart(part: string, route: PolicyRoute): KeyPart {
  switch (part) {
    case "user":
      return byUser
    case "ip":
      return byIp
    case "api_key":
      return byApiKey
    case "tier":
      return byTier
    case "route":
      return (hash) => {
        hash.word(KIND.route).text(route.label)
      }
  }
  const name = part.slice(part.indexOf(":") + 1)
  return part.startsWith("header:") ? byHeader(name.toLowerCase()) : byClaim(name)
}

function byHeader(name: string): KeyPart {
  return (hash, exchange) => {
    const value = exchange.header(name)
    if (value === undefined) byIp(hash, exchange)
    else hash.word(KIND.header).text(value)
  }
}

function byClaim(name: string): KeyPart {
  return (hash, exchange) => {
    const text = claimText(exchange.principal, name)
    if (text === undefined) byUser(hash, exchange)
    else hash.word(KIND.claim).text(exchange.principal!.issuer).text(text)
  }
}

function claimText(principal: Principal | undefined, name: string): string | undefined {
  if (principal === undefined || !Object.hasOwn(principal.claims, name)) return undefined
  const value = principal.claims[name]
  // Mappings and lists have no one text; nobody should slip through by sending them.
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
    ? `${typeof value} ${value}`
    : undefined
}
