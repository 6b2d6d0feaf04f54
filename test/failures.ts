/** A test that failed, or an error no test was to blame for, as `bun test` told of it. */
export interface FailedTest {
  readonly file: string
  readonly name: string
  /** What it said of the failure, without the source lines; at most MOST_LINES. */
  readonly lines: readonly string[]
}

/** Bounds of what is repeated: a log's last lines must hold it. */
const MOST_TESTS = 20
const MOST_LINES = 12
/** Of an error longer than that, its end stays too: that is where it says which line of the test it was. */
const LAST_LINES = 3
const WIDEST_LINE = 300

const OUTSIDE_TESTS = "# Unhandled error between tests"

/**
 * Reads which tests failed out of what `bun test` writes to stderr. An error stands before the line of its test, a
 * timeout after it, and what the tested code logs may stand anywhere.
 */
export function readFailures(output: string): readonly FailedTest[] {
  const failures: FailedTest[] = []
  let file = "(no file)"
  let told: string[] = []
  const lines = output.split("\n")
  for (const [index, line] of lines.entries()) {
    // Here it begins to repeat names, without errors and files.
    if (/^\d+ tests? (skipped|failed|todo):$/.test(line)) break
    const opened = /^(\S+\.test\.ts):$/.exec(line)?.[1]
    const failed = /^\(fail\) (.*?)(?: \[[\d.]+m?s\])?$/.exec(line)?.[1]
    if (opened !== undefined) file = opened
    else if (failed !== undefined) {
      const after = lines[index + 1]?.startsWith("  ^ ") === true ? [lines[index + 1]!] : []
      failures.push({ file, name: failed, lines: essence([...told, ...after]) })
    } else if (/^-{20,}$/.test(line) && told.includes(OUTSIDE_TESTS)) {
      const errors = told.slice(told.indexOf(OUTSIDE_TESTS) + 1)
      // The first rule opens the error, the second ends it.
      if (errors.length === 0) continue
      failures.push({ file, name: "an error outside of tests", lines: essence(errors) })
    } else if (!/^\((pass|skip|todo)\) /.test(line)) {
      told.push(line)
      continue
    }
    told = []
  }
  return failures
}

/** The error of all that was printed: from its first line, without the excerpt of the source. */
function essence(told: readonly string[]): readonly string[] {
  const start = told.findIndex((line) => /^(error|\w*Error|\w*Exception)\b.*/.test(line))
  const lines = told
    .slice(Math.max(start, 0))
    .filter((line) => line.trim() !== "" && !/^\s*\d+ \| /.test(line) && !/^\s+\^$/.test(line))
    .map((line) => (line.length > WIDEST_LINE ? `${line.slice(0, WIDEST_LINE)} …` : line))
  if (lines.length <= MOST_LINES) return lines
  // Without a line that begins an error only the end can be it.
  if (start < 0) return lines.slice(-MOST_LINES)
  return [...lines.slice(0, MOST_LINES - LAST_LINES - 1), "      …", ...lines.slice(-LAST_LINES)]
}

/** The failures as text: MOST_TESTS in full, of the others how many. Empty without failures. */
export function tellFailures(failures: readonly FailedTest[]): string {
  if (failures.length === 0) return ""
  const told = failures
    .slice(0, MOST_TESTS)
    .map(({ file, name, lines }) =>
      [`(fail) ${file}: ${name}`, ...lines.map((line) => `    ${line}`)].join("\n"),
    )
  const rest = failures.length - told.length
  return ["Failed:", ...told, ...(rest > 0 ? [`and ${rest} more`] : [])].join("\n")
}
