import { compare, lengthOfRun, type Row } from "./compare.ts"
import { caddy } from "./contenders/caddy.ts"
import type { Contender, Job } from "./contenders/contender.ts"
import { fastify } from "./contenders/fastify.ts"
import { fetchProxy } from "./contenders/fetch_proxy.ts"
import { gatehouse } from "./contenders/gatehouse.ts"
import { haproxy } from "./contenders/haproxy.ts"
import { nginx } from "./contenders/nginx.ts"
import type { AskedFor } from "./request.ts"
import { saveResult } from "./results.ts"
import { bestPeer, printTable } from "./table.ts"
import { judge, type Target, type Verdict } from "./targets.ts"
import { SMALL_JSON } from "./upstream.ts"

export const OURS = "Gatehouse"
export const SERVE_DOOR = "Gatehouse, Serve door"

export const GATEHOUSES: readonly Contender[] = [gatehouse(OURS), gatehouse(SERVE_DOOR, { lane: false })]
export const PRODUCTS: readonly Contender[] = [nginx, haproxy, caddy]
export const JAVASCRIPT: readonly Contender[] = [fastify, fetchProxy]

export const PLAIN: Job = { tokens: undefined, tls: undefined }
export const JSON_REQUEST: AskedFor = {
  path: "/json",
  bodyBytes: undefined,
  expect: (body) => body === SMALL_JSON,
}

/** The same work given to several contenders, one core each. */
export interface Scenario {
  readonly name: string
  /** What is done, as the head of the table. */
  readonly title: string
  readonly contenders: readonly Contender[]
  readonly job: Job
  readonly asked: AskedFor
  /** One table for each number of connections. */
  readonly connections: readonly number[]
  /** Contender the others are compared with; `undefined`: the best peer. */
  readonly base?: string
  readonly targets: readonly Target[]
  /** Size of a body, where the price of a megabyte is of interest. */
  readonly megabytes?: number
  /** What one must know to read the table. */
  readonly notes: readonly string[]
  /** More verdicts than those of ratios and memory. */
  readonly judge?: (rows: readonly Row[]) => Verdict[]
}

/** Measures, prints, judges and keeps a scenario; whether all targets were reached. */
export async function sideBySide(scenario: Scenario): Promise<boolean> {
  const length = lengthOfRun()
  let held = true
  for (const connections of scenario.connections) {
    const rows = await compare({ ...scenario, connections }, length)
    const base = rows.find(({ name }) => name === scenario.base) ?? bestPeer(rows)
    const title = `${scenario.title}, ${connections} connections`
    printTable(title, rows, base, scenario.megabytes)
    for (const note of scenario.notes) console.log(`note: ${note}`)
    const verdicts = [...judge(rows, scenario.targets, OURS), ...(scenario.judge?.(rows) ?? [])]
    for (const { text } of verdicts) console.log(text)
    held &&= verdicts.every((verdict) => verdict.held)
    const texts = verdicts.map(({ text }) => text)
    saveResult({ scenario: scenario.name, title, connections, length, rows, verdicts: texts })
  }
  return held
}
