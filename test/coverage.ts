import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Glob, Transpiler } from "bun"

/** Share of lines that tests must run. */
export const LEAST_PERCENT = 90

/** Loaded by worker threads and child processes only, whose lines the runtime does not count. */
const ENTRY_POINTS: ReadonlySet<string> = new Set(["src/main.ts", "src/cli/worker.ts"])

export interface FileCoverage {
  readonly file: string
  readonly lines: number
  readonly run: number
}

/**
 * Lines of every file of src/ and how many of them ran, from an lcov report. The runtime reports only files some
 * test has loaded; the others count with all of their lines, unless they hold nothing but types.
 */
export function readCoverage(root: string, report: string): readonly FileCoverage[] {
  const loaded = new Map<string, FileCoverage>()
  for (const record of report.split("end_of_record")) {
    const file = /^SF:(.+)$/m.exec(record)?.[1]
    if (file === undefined) continue
    const number = (key: string) => Number(new RegExp(`^${key}:(\\d+)$`, "m").exec(record)?.[1] ?? 0)
    loaded.set(file, { file, lines: number("LF"), run: number("LH") })
  }
  const files = [...new Glob("src/**/*.ts").scanSync({ cwd: root })].sort()
  return files
    .filter((file) => !file.endsWith(".d.ts") && !ENTRY_POINTS.has(file))
    .map((file) => loaded.get(file) ?? { file, lines: linesOfCode(join(root, file)), run: 0 })
}

/** Lines that are left when types are gone. */
function linesOfCode(path: string): number {
  const code = new Transpiler({ loader: "ts" }).transformSync(readFileSync(path, "utf8"))
  return code.split("\n").filter((line) => line.trim() !== "").length
}

/** Share of lines that ran, of all files together. */
export function percent(files: readonly FileCoverage[]): number {
  const sum = (key: "lines" | "run") => files.reduce((total, each) => total + each[key], 0)
  const lines = sum("lines")
  return lines === 0 ? 100 : (100 * sum("run")) / lines
}
