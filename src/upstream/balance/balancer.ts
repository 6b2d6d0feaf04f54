import type { Candidates } from "../candidates.ts"
import type { Exchange } from "../exchange.ts"
import type { Member } from "../member.ts"

/** Chooses among candidates (at least one). Belongs to one thread; what must be exact is shared by the members. */
export interface Balancer {
  pick(candidates: Candidates, exchange: Exchange, now: number): Member
}
