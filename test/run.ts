/**
 * `./build.sh test`: what the tests need from Debian, lint, then every test with coverage. Ends with
 * what failed, told once more, and the plain line "N passed, N failed", with what was skipped if anything was; a failed
 * lint and too little coverage count as one failed test each.
 */
import { join } from "node:path"
import { $ } from "bun"
import { LEAST_PERCENT, percent, readCoverage } from "./coverage.ts"
import { readFailures, tellFailures } from "./failures.ts"

/** What tests need: a shell command that succeeds when it is there, and the Debian package that brings it. */
const REQUIRED: readonly (readonly [probe: string, debianPackage: string])[] = [
  ["command -v nginx", "nginx-light"],
  ["command -v redis-server", "redis-server"],
  ["ls /usr/lib/postgresql/*/bin/initdb", "postgresql"],
  ["command -v openssl", "openssl"],
  ["command -v curl", "curl"],
  ["command -v promtool", "prometheus"],
  ["command -v chromium", "chromium"],
  ["/usr/bin/python3 -c 'import websockets'", "python3-websockets"],
]

/**
 * For each test and each of its hooks that sets no time of its own. A key of bunfig.toml for it is not read, and the
 * runtime's 5 s are too few for real processes on a machine that is busy with the rest of the tests.
 */
const PATIENCE_MS = 30_000

async function installMissing(): Promise<void> {
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` }
  const missing = REQUIRED.filter(
    ([probe]) =>
      Bun.spawnSync(["sh", "-c", probe], { env, stdout: "ignore", stderr: "ignore" }).exitCode !== 0,
  )
  if (missing.length === 0) return
  const packages = missing.map(([, name]) => name)
  console.log(`installing from Debian: ${packages.join(" ")}`)
  const sudo = process.getuid?.() === 0 ? [] : ["sudo"]
  await $`${sudo} apt-get update -qq`
  // Not started as services: every test starts its own.
  await $`${sudo} env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends ${packages}`
}

/** What a command wrote, and its exit code. */
interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command with its output passed through. */
async function run(command: string[]): Promise<Ran> {
  const child = Bun.spawn(command, {
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, FORCE_COLOR: "0", GATEHOUSE_BINARY: `${process.cwd()}/dist/gatehouse` },
  })
  const pass = async (from: ReadableStream<Uint8Array>): Promise<string> => {
    const decoder = new TextDecoder()
    let output = ""
    for await (const chunk of from) {
      process.stdout.write(chunk)
      output += decoder.decode(chunk, { stream: true })
    }
    return output
  }
  const [stdout, stderr] = await Promise.all([pass(child.stdout), pass(child.stderr)])
  return { code: await child.exited, stdout, stderr }
}

/** Repeats what failed, so that the end of a log tells it. */
function repeatFailures(lint: Ran, tests: Ran): void {
  const told = tellFailures(readFailures(tests.stderr))
  if (told !== "") console.log(`\n${told}`)
  else if (tests.code !== 0) {
    // A crash has no failed test of its own: how it ended is all there is.
    console.log(`\nThe tests ended with code ${tests.code}:\n${lastLines(tests.stderr)}`)
  }
  if (lint.code !== 0) console.log(`\nLint failed:\n${lastLines(lint.stdout)}\n${lastLines(lint.stderr)}`)
}

function lastLines(output: string): string {
  return output.trimEnd().split("\n").slice(-20).join("\n")
}

function count(output: string, word: "pass" | "fail" | "skip"): number {
  let sum = 0
  for (const found of output.matchAll(new RegExp(`^\\s*(\\d+) ${word}$`, "gm"))) sum += Number(found[1])
  return sum
}

/** Prints the coverage of src/; whether it is enough. */
async function checkCoverage(): Promise<boolean> {
  const root = join(import.meta.dir, "..")
  const report = Bun.file(join(root, "dist/coverage/lcov.info"))
  if (!(await report.exists())) return false
  const files = readCoverage(root, await report.text())
  for (const each of files) {
    const share = percent([each])
    if (share < LEAST_PERCENT) console.log(`${share.toFixed(0).padStart(4)} % of lines ran: ${each.file}`)
  }
  const all = percent(files)
  console.log(`${all.toFixed(1)} % of the lines of src/ ran; at least ${LEAST_PERCENT} % must`)
  return all >= LEAST_PERCENT
}

await installMissing()
const lint = await run(["node_modules/.bin/biome", "ci", "--colors=off", "src", "test", "bench"])
const tests = await run([
  process.execPath,
  "test",
  "--coverage",
  `--timeout=${PATIENCE_MS}`,
  ...process.argv.slice(2),
])
// A part of the tests covers a part of the code.
const covered = process.argv.length > 2 || (await checkCoverage())
const passed = count(tests.stderr, "pass")
const counted = count(tests.stderr, "fail")
// A crash or a missed coverage threshold fails the run without a failed test of its own.
const failed = Math.max(counted, tests.code === 0 ? 0 : 1) + (lint.code === 0 ? 0 : 1) + (covered ? 0 : 1)
const skipped = count(tests.stderr, "skip")
repeatFailures(lint, tests)
console.log(`\n${passed} passed, ${failed} failed${skipped === 0 ? "" : `, ${skipped} skipped`}`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
