import { afterAll, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { percent, readCoverage } from "./coverage.ts"

const root = mkdtempSync(join(tmpdir(), "gatehouse-coverage-"))
afterAll(() => rmSync(root, { recursive: true }))

test("files no test has loaded count with all their lines, those of types with none", () => {
  mkdirSync(join(root, "src/lib"), { recursive: true })
  writeFileSync(join(root, "src/lib/run.ts"), "export const a = 1\n")
  writeFileSync(join(root, "src/lib/unloaded.ts"), "export const b = 1\nexport const c = 2\n")
  writeFileSync(join(root, "src/lib/types.ts"), "export interface T {\n  a: string\n}\n")
  writeFileSync(join(root, "src/main.ts"), "console.log(1)\n")
  const report =
    "TN:\nSF:src/lib/run.ts\nDA:1,1\nLF:6\nLH:6\nend_of_record\nSF:test/a.ts\nLF:9\nLH:0\nend_of_record\n"
  const files = readCoverage(root, report)
  expect(files.map(({ file, run }) => [file, run])).toEqual([
    ["src/lib/run.ts", 6],
    ["src/lib/types.ts", 0],
    ["src/lib/unloaded.ts", 0],
  ])
  expect(files[1]!.lines).toBe(0)
  expect(files[2]!.lines).toBeGreaterThanOrEqual(2)
  expect(percent(files)).toBeCloseTo((100 * 6) / (6 + files[2]!.lines))
})
