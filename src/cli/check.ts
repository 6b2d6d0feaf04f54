import { CONFIG_FLAG, parseCommand } from "./args.ts"
import { describeFindings, findConfigFile, loadFrom, sourceName } from "./config_source.ts"
import { EXIT, type Output } from "./output.ts"
import { usageError } from "./usage.ts"

/** `gatehouse check [-c FILE]`: everything that is wrong with the config, at once. */
export function check(args: readonly string[], output: Output): number {
  const parsed = parseCommand(args, CONFIG_FLAG)
  if (!parsed.ok) return usageError("check", parsed.message, output)
  const file = findConfigFile(parsed.values.config as string | undefined)
  const loaded = loadFrom(file)
  output.err(describeFindings(loaded, file))
  if (!loaded.ok) {
    output.err(`${sourceName(file)}: ${count(loaded.problems.length, "error")}\n`)
    return EXIT.usage
  }
  const { services, routes } = loaded.config
  const totals = `${count(routes.length, "route")}, ${count(Object.keys(services).length, "service")}`
  output.out(`${sourceName(file)}: ok (${totals})\n`)
  return EXIT.fine
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`
}
