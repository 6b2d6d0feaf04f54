import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { sharedPostgres } from "./postgres.ts"

let folder: string | undefined
let files = 0

/** URL of a new SQLite database in a file, which is gone when the process ends. */
export function sqliteUrl(): string {
  if (folder === undefined) {
    const made = mkdtempSync(join(tmpdir(), "gatehouse-stores-"))
    process.on("exit", () => rmSync(made, { recursive: true, force: true }))
    folder = made
  }
  return `sqlite:${join(folder, `${++files}.db`)}`
}

/** The databases a store can be in, each with how to get a new one. */
export const STORES: readonly (readonly [name: string, url: () => Promise<string>])[] = [
  ["SQLite", async () => sqliteUrl()],
  ["PostgreSQL", async () => (await sharedPostgres()).createDatabase()],
]
