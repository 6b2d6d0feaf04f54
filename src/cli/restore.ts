import { restore as restoreStore } from "../store/backup.ts"
import { StoreError } from "../store/sql.ts"
import { CONFIG_FLAG, parseCommand } from "./args.ts"
import { EXIT, type Output } from "./output.ts"
import { storeFile } from "./store_file.ts"
import { usageError } from "./usage.ts"

/** `gatehouse restore FILE [-c CONFIG]`: puts a backup in the place of the store; the gateway must be stopped. */
export async function restore(args: readonly string[], output: Output): Promise<number> {
  const parsed = parseCommand(args, CONFIG_FLAG, ["FILE"])
  if (!parsed.ok) return usageError("restore", parsed.message, output)
  const from = parsed.positionals[0]!
  const file = storeFile(parsed.values.config as string | undefined, output.err)
  if (file === undefined) return EXIT.usage
  try {
    const kept = await restoreStore(from, file)
    output.out(`${file}: ok${kept === undefined ? "" : `; what was there is now ${kept}`}\n`)
    return EXIT.fine
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    output.err(`${error.message}\n`)
    return EXIT.usage
  }
}
