import { parseStoreUrl } from "../store/store_url.ts"
import { describeFindings, findConfigFile, loadFrom, sourceName } from "./config_source.ts"

/** The SQLite file of a config; undefined: the config has none, and why is said. `flag`: of `-c`. */
export function storeFile(flag: string | undefined, say: (text: string) => void): string | undefined {
  const source = findConfigFile(flag)
  const loaded = loadFrom(source)
  if (!loaded.ok) {
    say(describeFindings(loaded, source))
    return undefined
  }
  const url = loaded.config.store
  const target = url === undefined ? "it names no store" : parseStoreUrl(url)
  if (typeof target === "string") say(`${sourceName(source)}: ${target}\n`)
  else if (target.kind === "postgres")
    say(`${sourceName(source)}: the store is PostgreSQL: use pg_dump and pg_restore\n`)
  else if (target.file === ":memory:") say(`${sourceName(source)}: the store is in memory\n`)
  else return target.file
  return undefined
}
