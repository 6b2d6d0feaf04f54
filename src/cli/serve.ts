import { writeSync } from "node:fs"
import { CONFIG_FLAG, parseCommand } from "./args.ts"
import { describeFindings, findConfigFile, loadFrom } from "./config_source.ts"
import { EXIT, type Output } from "./output.ts"
import { runGateway } from "./run_gateway.ts"
import { usageError } from "./usage.ts"

const STANDARD: Output = {
  out: (text) => void writeSync(1, text),
  err: (text) => void writeSync(2, text),
}

/** `gatehouse serve [-c FILE]`: resolves with the exit code once the gateway has shut down. */
export async function serve(args: readonly string[], output: Output = STANDARD): Promise<number> {
  const parsed = parseCommand(args, CONFIG_FLAG)
  if (!parsed.ok) return usageError("serve", parsed.message, output)
  const file = findConfigFile(parsed.values.config as string | undefined)
  const loaded = loadFrom(file)
  output.err(describeFindings(loaded, file))
  if (!loaded.ok) return EXIT.usage
  return runGateway({ config: loaded.config, load: () => loadFrom(file), file, output })
}
