import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { cpus, release } from "node:os"
import { join } from "node:path"
import type { Length, Row } from "./compare.ts"

const RESULTS = join(import.meta.dir, "results")
const REFERENCE = join(RESULTS, "reference.json")

/** One table of figures, as it is kept. */
export interface Result {
  readonly scenario: string
  readonly title: string
  readonly connections: number
  /** ISO 8601, UTC. */
  readonly at: string
  readonly machine: string
  readonly length: Length
  readonly rows: readonly Row[]
  readonly verdicts: readonly string[]
}

/** Keeps it as bench/results/SCENARIO-CONNECTIONS-TIME.json. */
export function saveResult(result: Omit<Result, "at" | "machine">): void {
  const at = new Date().toISOString()
  const [cpu] = cpus()
  const machine = `${cpus().length} × ${cpu?.model.trim() ?? "unknown"}, Linux ${release()}`
  mkdirSync(RESULTS, { recursive: true })
  const name = `${result.scenario}-${result.connections}-${at.replace(/[:.]/g, "-")}.json`
  write(join(RESULTS, name), { ...result, at, machine })
}

/** The runs the project shows. */
export const readReference = (): Result[] => read(REFERENCE) as Result[]

/** Makes the newest run kept of each scenario the one shown; a scenario without one stays as it is. */
export function renewReference(): Result[] {
  const newest = new Map<string, Result>()
  const kept = readdirSync(RESULTS)
    .map((name) => join(RESULTS, name))
    .filter((file) => file.endsWith(".json") && file !== REFERENCE)
    .map((file) => read(file) as Result)
  for (const result of [...readReference(), ...kept]) {
    const key = `${result.scenario} ${result.connections}`
    const other = newest.get(key)
    if (other === undefined || other.at < result.at) newest.set(key, result)
  }
  const results = [...newest.values()]
  write(REFERENCE, results)
  return results
}

const read = (file: string): unknown => JSON.parse(readFileSync(file, "utf8"))

function write(file: string, value: unknown): void {
  writeFileSync(file, `${JSON.stringify(value, undefined, 1)}\n`)
}
