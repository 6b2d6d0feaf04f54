import type { Member } from "../member.ts"
import type { Balancer } from "./balancer.ts"

/**
 * One after the other. With weights or slow start: smooth weighted round robin (nginx), which spreads the
 * turns of a heavy instance among those of the others. Each thread has its own turn, begun at random so that
 * threads do not march in step.
 */
export function roundRobin(members: readonly Member[], slowStart: boolean, random: () => number): Balancer {
  const even = members.every((member) => member.weight === members[0]!.weight)
  return even && !slowStart ? rotation(members, random) : smooth(members, random)
}

function rotation(members: readonly Member[], random: () => number): Balancer {
  let turn = Math.floor(random() * members.length)
  return {
    pick({ list }) {
      turn = turn + 1 < list.length ? turn + 1 : 0
      return list[turn]!
    },
  }
}

function smooth(members: readonly Member[], random: () => number): Balancer {
  const credit = new Float64Array(members.length).map(() => random())
  return {
    pick({ list }, _exchange, now) {
      let total = 0
      let chosen = list[0]!
      for (const member of list) {
        const share = member.weight * member.warmth(now)
        total += share
        credit[member.index]! += share
        if (credit[member.index]! > credit[chosen.index]!) chosen = member
      }
      credit[chosen.index]! -= total
      return chosen
    },
  }
}
