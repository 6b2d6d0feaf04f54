import { backUp } from "../store/backup.ts"
import { StoreError } from "../store/sql.ts"
import { CONFIG_FLAG, parseCommand } from "./args.ts"
import { EXIT, type Output } from "./output.ts"
import { storeFile } from "./store_file.ts"
import { usageError } from "./usage.ts"

const FLAGS = { ...CONFIG_FLAG, force: { type: "boolean" } } as const

/** `gatehouse backup FILE [-c CONFIG] [--force]`: a copy of the store, also while the gateway runs. */
export function backup(args: readonly string[], output: Output): number {
  const parsed = parseCommand(args, FLAGS, ["FILE"])
  if (!parsed.ok) return usageError("backup", parsed.message, output)
  const to = parsed.positionals[0]!
  const file = storeFile(parsed.values.config as string | undefined, output.err)
  if (file === undefined) return EXIT.usage
  try {
    const bytes = backUp(file, to, parsed.values.force === true)
    output.out(`${to}: ok (${bytes} bytes)\n`)
    return EXIT.fine
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    output.err(`${error.message}\n`)
    return EXIT.usage
  }
}
