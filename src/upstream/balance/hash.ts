import type { Candidates } from "../candidates.ts"
import type { Exchange } from "../exchange.ts"
import type { Member } from "../member.ts"
import type { Balancer } from "./balancer.ts"
import { sample } from "./sample.ts"

/** Points on the ring for an instance of average weight; the shares of instances vary by some 8 %. */
const POINTS_PER_MEMBER = 160
/** Points of the whole ring at most, whatever the number of instances. */
const MAX_POINTS = 65_536
/** An instance takes at most this many times its fair share of the requests under way. */
const LOAD_BOUND = 1.25

/**
 * Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, 2016): the same key goes to the same
 * instance; when one leaves only its keys move; when one has too much under way its next keys go on along the
 * ring. Every thread and gateway has the same ring. A request without the key goes to an instance by chance.
 */
export function hash(members: readonly Member[], hashBy: string, random: () => number): Balancer {
  const key = keyOf(hashBy)
  const { points, owners } = ringOf(members)
  return {
    pick(candidates, exchange, now) {
      const value = key(exchange)
      if (value === undefined) return sample(candidates, random, now)
      const start = firstAtOrAfter(points, hash32(value))
      let limit = -1
      for (let i = 0; i < owners.length; i++) {
        const member = members[owners[(start + i) % owners.length]!]!
        if (!candidates.has(member)) continue
        const { inFlight } = member.state
        if (inFlight === 0) return member
        if (limit === -1) limit = loadPerWeight(candidates)
        if (inFlight < Math.ceil(limit * member.weight)) return member
      }
      return sample(candidates, random, now)
    },
  }
}

/** Requests under way that one unit of weight may have, the next request counted. */
function loadPerWeight({ list, totalWeight }: Candidates): number {
  let inFlight = 1
  for (const member of list) inFlight += member.state.inFlight
  return (inFlight / totalWeight) * LOAD_BOUND
}

/** Reads the key of a request; `undefined` when it has none. */
function keyOf(hashBy: string): (exchange: Exchange) => string | undefined {
  if (hashBy === "ip") return (exchange) => exchange.client
  const name = hashBy.slice(hashBy.indexOf(":") + 1)
  if (hashBy.startsWith("header:")) {
    const header = name.toLowerCase()
    return (exchange) => exchange.header(header)
  }
  return (exchange) => {
    const cookies = exchange.header("cookie")
    return cookies === undefined ? undefined : cookieNamed(cookies, name)
  }
}

function cookieNamed(cookies: string, name: string): string | undefined {
  let at = 0
  while (at < cookies.length) {
    while (cookies.charCodeAt(at) === 0x20) at++
    let end = cookies.indexOf(";", at)
    if (end === -1) end = cookies.length
    if (cookies.charCodeAt(at + name.length) === 0x3d && cookies.startsWith(name, at))
      return cookies.slice(at + name.length + 1, end).trimEnd()
    at = end + 1
  }
  return undefined
}

function ringOf(members: readonly Member[]): { points: Uint32Array; owners: Uint32Array } {
  const totalWeight = members.reduce((sum, member) => sum + member.weight, 0)
  const wanted = Math.min(MAX_POINTS, POINTS_PER_MEMBER * members.length)
  const ring: { point: number; owner: number }[] = []
  for (const member of members) {
    const count = Math.max(1, Math.round((wanted * member.weight) / totalWeight))
    for (let i = 0; i < count; i++) ring.push({ point: hash32(`${member.url}#${i}`), owner: member.index })
  }
  // Equal points are ordered by URL, not by position: a reordered config is the same ring.
  ring.sort((a, b) => a.point - b.point || (members[a.owner]!.url < members[b.owner]!.url ? -1 : 1))
  return {
    points: Uint32Array.from(ring, ({ point }) => point),
    owners: Uint32Array.from(ring, ({ owner }) => owner),
  }
}

/** FNV-1a over UTF-16 code units with MurmurHash3's finalizer: a call into the runtime's hash costs far more. */
function hash32(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

function firstAtOrAfter(points: Uint32Array, value: number): number {
  let low = 0
  let high = points.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (points[middle]! < value) low = middle + 1
    else high = middle
  }
  return low === points.length ? 0 : low
}
