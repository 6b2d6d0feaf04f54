import type { Row } from "./compare.ts"
import { gatehouse } from "./contenders/gatehouse.ts"
import { CONTENDER_CORE, LOAD_CORE } from "./process.ts"
import { JSON_REQUEST, OURS, PLAIN, sideBySide } from "./side_by_side.ts"
import { ratios } from "./statistics.ts"
import { cpuOf } from "./table.ts"
import { atLeast, type Verdict } from "./targets.ts"
import { createTokens } from "./tokens.ts"

const TWO = "Gatehouse, 2 workers"

/** What a second worker brings, by the CPU a request takes with one and with two. */
export const cores = (): Promise<boolean> =>
  sideBySide({
    name: "cores",
    title: "one worker and two at the whole job",
    contenders: [gatehouse(OURS), gatehouse(TWO, { workers: 2 }, `${CONTENDER_CORE},${LOAD_CORE}`)],
    job: { ...PLAIN, tokens: createTokens("HS256") },
    asked: JSON_REQUEST,
    connections: [128],
    base: OURS,
    targets: [],
    notes: [
      "load and upstream take their share of the second core, so requests a second say nothing of two workers. " +
        "Both have the same 128 connections busy; the speed-up two free cores would give is 2 × the CPU a request " +
        "takes with one worker / with two",
    ],
    judge: speedUp,
  })

function speedUp(rows: readonly Row[]): Verdict[] {
  const [one, two] = [OURS, TWO].map((name) => rows.find((row) => row.name === name))
  if (one === undefined || two === undefined) return []
  const speedUps = ratios(cpuOf(one), cpuOf(two)).map((efficiency) => 2 * efficiency)
  return [atLeast("speed-up of two workers", speedUps, { must: 1.7, goal: 1.9 })]
}

if (import.meta.main) process.exit((await cores()) ? 0 : 1)
