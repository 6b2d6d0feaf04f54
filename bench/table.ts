import type { Row, Sample } from "./compare.ts"
import { median, ratios, type Spread, spread } from "./statistics.ts"

type Column = readonly [title: string, width: number, cell: (row: Row) => string]

const each = ({ samples }: Row, field: keyof Sample): number[] => samples.map((sample) => sample[field])
const middle = (row: Row, field: keyof Sample, digits: number): string =>
  median(each(row, field)).toFixed(digits)

export function formatSpread({ min, median, max }: Spread, digits: number): string {
  return [min, median, max].map((value) => value.toFixed(digits)).join("–")
}

export const cpuOf = (row: Row): number[] => each(row, "cpuUs")
export const peakRssMb = (row: Row): number => Math.max(...each(row, "rssMb"))
export const errorsOf = (row: Row): number => each(row, "errors").reduce((sum, errors) => sum + errors, 0)

/** The product beside ours that takes least CPU a request. */
export const bestPeer = (rows: readonly Row[]): Row | undefined =>
  rows.filter(({ kind }) => kind === "peer").toSorted((a, b) => median(cpuOf(a)) - median(cpuOf(b)))[0]

/**
 * One table. Ratios are of CPU a request to `base` in the same round. `megabytes`: of a body, where what a megabyte
 * costs is of interest.
 */
export function printTable(
  title: string,
  rows: readonly Row[],
  base: Row | undefined,
  megabytes: number | undefined,
): void {
  const columns: Column[] = [
    ["req/s", 9, (row) => middle(row, "requestsPerSecond", 0)],
    ["p50 ms", 9, (row) => middle(row, "p50", 2)],
    ["p99 ms", 9, (row) => middle(row, "p99", 2)],
    ["CPU µs a request", 23, (row) => formatSpread(spread(cpuOf(row)), 1)],
  ]
  if (base !== undefined)
    columns.push([`× ${base.name}`, 17, (row) => formatSpread(spread(ratios(cpuOf(row), cpuOf(base))), 2)])
  if (megabytes !== undefined)
    columns.push(
      ["MB/s", 8, (row) => (median(each(row, "requestsPerSecond")) * megabytes).toFixed(0)],
      ["CPU ms a MB", 13, (row) => (median(cpuOf(row)) / 1000 / megabytes).toFixed(3)],
    )
  columns.push(
    ["RSS MB", 8, (row) => peakRssMb(row).toFixed(0)],
    ["errors", 8, (row) => String(errorsOf(row))],
  )
  console.log(`\n${title}; spreads are min–median–max`)
  console.log(`${"".padEnd(24)}${columns.map(([name, width]) => name.padStart(width)).join("")}`)
  for (const row of rows)
    console.log(
      `${row.name.padEnd(24)}${columns.map(([, width, cell]) => cell(row).padStart(width)).join("")}`,
    )
}
