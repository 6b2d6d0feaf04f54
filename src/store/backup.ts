import { Database as Sqlite } from "bun:sqlite"
import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs"
import { dirname, resolve } from "node:path"
import { now } from "../lib/clock.ts"
import { pendingMigration } from "./migrate.ts"
import { StoreError } from "./sql.ts"
import { explainSqlite, openSqlite } from "./sqlite.ts"
import { checkIntegrity, explainSystem } from "./sqlite_file.ts"
import { createStore } from "./store.ts"

/**
 * Writes a copy of the database in `file`, as it is at one moment, to `to`, for its owner alone. Whoever uses the
 * database goes on meanwhile. `to` is there when it is whole and on the disk, or not at all. `force`: it may take the
 * place of another file. Returns its size in bytes. Throws StoreError.
 */
export function backUp(file: string, to: string, force: boolean): number {
  const doing = `backing up ${file} to ${to}`
  if (!existsSync(file)) throw new StoreError("unavailable", `${doing}: there is no ${file}`)
  if (existsSync(to)) {
    if (realpathSync(to) === realpathSync(file))
      throw new StoreError("failed", `${doing}: this is the database itself`)
    if (!force) throw new StoreError("conflict", `${doing}: it exists already; --force replaces it`)
  }
  const draft = `${to}.part-${process.pid}`
  let sqlite: Sqlite | undefined
  try {
    // SQLite fills an empty file that is there: with its mode.
    closeSync(openSync(draft, "wx", 0o600))
    sqlite = new Sqlite(file, { readwrite: true, create: false })
    sqlite.run("PRAGMA busy_timeout = 5000")
    sqlite.run("VACUUM INTO ?", [draft])
    checkIntegrity(draft)
    syncFile(draft)
    if (force) renameSync(draft, to)
    else linkSync(draft, to)
    rmSync(draft, { force: true })
    syncFile(dirname(resolve(to)))
    return statSync(to).size
  } catch (error) {
    rmSync(draft, { force: true })
    throw explainSystem(doing, error)
  } finally {
    sqlite?.close()
  }
}

/**
 * Puts the backup `from` in the place of the database `file`, which is kept under another name. Returns that name;
 * undefined: there was none. Rejects with StoreError, and leaves `file` as it is, when the backup is damaged or of a
 * newer program ("corrupt", "failed"), or another process uses the database ("busy").
 */
export async function restore(from: string, file: string): Promise<string | undefined> {
  const doing = `restoring ${from} to ${file}`
  if (!existsSync(from)) throw new StoreError("unavailable", `${doing}: there is no ${from}`)
  if (existsSync(`${from}-wal`) && statSync(`${from}-wal`).size > 0)
    throw new StoreError(
      "failed",
      `${doing}: part of it is in ${from}-wal: it is a database in use, no backup`,
    )
  if (existsSync(file) && realpathSync(from) === realpathSync(file))
    throw new StoreError("failed", `${doing}: this is the database itself`)
  const draft = `${file}.restore-${process.pid}`
  let release = (): void => undefined
  try {
    closeSync(openSync(draft, "wx", 0o600))
    copyFileSync(from, draft)
    checkIntegrity(draft)
    await checkSchema(draft)
    syncFile(draft)
    release = lockOut(file)
    const kept = keepOld(file)
    // In one step: at no moment is there no database, which the gateway would take for a new beginning.
    renameSync(draft, file)
    syncFile(dirname(resolve(file)))
    return kept
  } catch (error) {
    throw explainSystem(doing, error)
  } finally {
    release()
    for (const end of ["", "-wal", "-shm"]) rmSync(`${draft}${end}`, { force: true })
  }
}

/** Refuses a database that is no store of this program or an older one. */
async function checkSchema(file: string): Promise<void> {
  const limits = { maxWaiting: 0, waitMs: 0, transactionMs: 60_000 }
  const store = createStore(openSqlite(file), limits, {
    now,
    onQuery: () => undefined,
    onFailure: () => undefined,
  })
  try {
    const table = "SELECT name FROM sqlite_master WHERE name = 'schema_migrations'"
    if ((await store.get(table)) === undefined)
      throw new StoreError("failed", "checking the schema: it is no database of Gatehouse")
    await pendingMigration(store)
  } finally {
    await store.close()
  }
}

/**
 * Makes sure that nobody uses the database: whoever does keeps a lock on it as long as its log is on. A damaged one
 * cannot be asked. Returns what lets others in again. Throws StoreError "busy".
 */
function lockOut(file: string): () => void {
  if (!existsSync(file)) return () => undefined
  const sqlite = new Sqlite(file, { readwrite: true, create: false })
  try {
    sqlite.run("PRAGMA busy_timeout = 0")
    // It also brings what is in the log into the file, and takes the log away.
    sqlite.run("PRAGMA journal_mode = DELETE")
    sqlite.run("BEGIN EXCLUSIVE")
  } catch (error) {
    const known = explainSqlite(error)
    if (known.kind !== "corrupt") {
      sqlite.close()
      if (known.kind !== "busy") throw known
      throw new StoreError("busy", "another process uses the database; stop the gateway first")
    }
  }
  return () => sqlite.close()
}

/** Gives the database a second name, where no older one is; its log, which would spoil the new one, moves. */
function keepOld(file: string): string | undefined {
  if (!existsSync(file) && !existsSync(`${file}-wal`)) return undefined
  let kept = `${file}.before-restore`
  for (let i = 2; existsSync(kept) || existsSync(`${kept}-wal`); i++) kept = `${file}.before-restore-${i}`
  if (existsSync(file)) linkSync(file, kept)
  if (existsSync(`${file}-wal`)) renameSync(`${file}-wal`, `${kept}-wal`)
  rmSync(`${file}-shm`, { force: true })
  return kept
}

/** Of a file or a folder. */
function syncFile(path: string): void {
  const handle = openSync(path, "r")
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
