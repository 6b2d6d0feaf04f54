import { existsSync } from "node:fs"
import { resolve } from "node:path"
import { configFromEnv } from "../config/from_env.ts"
import type { Environment } from "../config/interpolate.ts"
import { type Loaded, loadConfig } from "../config/load.ts"
import { formatProblem } from "../config/problem.ts"

/** Names looked for in the working directory, in this order. */
const DEFAULT_FILES = ["gatehouse.yaml", "gatehouse.yml", "gatehouse.json", "gatehouse.toml"]

/** Where a config comes from; `undefined`: the environment alone. */
export function findConfigFile(
  flag: string | undefined,
  env: Environment = process.env,
  directory: string = process.cwd(),
): string | undefined {
  if (flag !== undefined) return flag
  if (env.GATEHOUSE_CONFIG) return env.GATEHOUSE_CONFIG
  return DEFAULT_FILES.find((name) => existsSync(resolve(directory, name)))
}

/** Loads the file, or the environment when there is none. */
export function loadFrom(file: string | undefined, env: Environment = process.env): Loaded {
  return file === undefined ? configFromEnv(env) : loadConfig(file, env)
}

/** How messages name the source. */
export function sourceName(file: string | undefined): string {
  return file ?? "environment"
}

/** Every problem and warning, one a line; "" when there is none. */
export function describeFindings(loaded: Loaded, file: string | undefined): string {
  const name = sourceName(file)
  const lines = loaded.ok ? [] : loaded.problems.map((each) => `error: ${formatProblem(each, name)}\n`)
  lines.push(...loaded.warnings.map((each) => `warning: ${formatProblem(each, name)}\n`))
  return lines.join("")
}
