import { Database as Sqlite } from "bun:sqlite"
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  linkSync,
  openSync,
  readSync,
  rmSync,
  statSync,
} from "node:fs"
import { dirname, resolve } from "node:path"
import { StoreError, type StoreErrorKind } from "./sql.ts"
import { explainSqlite } from "./sqlite.ts"

/** First bytes of every SQLite file (sqlite.org/fileformat.html). */
const HEADER = "SQLite format 3\0"

/**
 * Makes sure that the file is a sound database that can be written, or makes an empty one where there is none.
 * Never puts an empty one in the place of a damaged one. Reads the whole file once. Throws StoreError.
 */
export function prepareSqliteFile(file: string): void {
  const folder = dirname(resolve(file))
  if (!existsSync(folder))
    throw new StoreError("unavailable", `opening ${file}: the folder ${folder} does not exist`)
  try {
    // For the write-ahead log.
    accessSync(folder, constants.W_OK)
    if (existsSync(file)) refuseOther(file)
    else createSqliteFile(file)
    // Also of a file somebody else has put there: it is about people.
    if ((statSync(file).mode & 0o077) !== 0) chmodSync(file, 0o600)
    accessSync(file, constants.W_OK)
  } catch (error) {
    throw explainSystem(`opening ${file}`, error)
  }
  checkIntegrity(file)
}

/** Refuses what is no SQLite database, by its first bytes. */
function refuseOther(file: string): void {
  if (!statSync(file).isFile()) throw new StoreError("corrupt", `opening ${file}: it is not a file`)
  if (readHeader(file) === HEADER) return
  const what = statSync(file).size === 0 ? "it is empty" : "it is no SQLite database"
  throw new StoreError("corrupt", `opening ${file}: ${what}; restore a backup, or move it away to begin anew`)
}

/** Reads a whole database and refuses it when it is damaged. Throws StoreError. */
export function checkIntegrity(file: string): void {
  const found = integrityOf(file)
  if (found !== "ok")
    throw new StoreError("corrupt", `opening ${file}: it is damaged (${found}); restore a backup`)
}

/** "ok", or the first thing that is wrong. */
function integrityOf(file: string): string {
  let sqlite: Sqlite | undefined
  try {
    sqlite = new Sqlite(file, { readwrite: true, create: false })
    sqlite.run("PRAGMA busy_timeout = 5000")
    return sqlite.query<{ quick_check: string }, []>("PRAGMA quick_check(1)").get()!.quick_check
  } catch (error) {
    const known = explainSqlite(error)
    if (known.kind !== "corrupt") throw new StoreError(known.kind, `opening ${file}: ${known.message}`)
    return known.message
  } finally {
    sqlite?.close()
  }
}

/** Made under another name: until it is whole, a file of 0 bytes would stand there, as after a truncation. */
function createSqliteFile(file: string): void {
  if (existsSync(`${file}-wal`))
    throw new StoreError(
      "corrupt",
      `opening ${file}: it is gone, but its log ${file}-wal is there; restore a backup, or move the log away`,
    )
  const draft = `${file}.new-${process.pid}`
  try {
    rmSync(draft, { force: true })
    closeSync(openSync(draft, "wx", 0o600))
    const sqlite = new Sqlite(draft, { readwrite: true, create: false })
    try {
      sqlite.run("PRAGMA journal_mode = WAL")
    } finally {
      sqlite.close()
    }
    linkSync(draft, file)
  } catch (error) {
    // Another process was faster: its file is as good.
    if ((error as NodeJS.ErrnoException).code !== "EEXIST" || !existsSync(file))
      throw explainSystem(`creating ${file}`, error)
  } finally {
    rmSync(draft, { force: true })
  }
}

function readHeader(file: string): string {
  const handle = openSync(file, "r")
  try {
    const bytes = new Uint8Array(HEADER.length)
    return Buffer.from(bytes.buffer, 0, readSync(handle, bytes)).toString("latin1")
  } finally {
    closeSync(handle)
  }
}

const SYSTEM_KINDS: Readonly<Record<string, StoreErrorKind>> = {
  ENOSPC: "full",
  EDQUOT: "full",
  EROFS: "read_only",
  EACCES: "read_only",
  EPERM: "read_only",
}

/** An error of the file system, or of SQLite, in the words of the store. */
export function explainSystem(doing: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const { code, message } = error as NodeJS.ErrnoException
  if (code?.startsWith("SQLITE")) {
    const known = explainSqlite(error)
    return new StoreError(known.kind, `${doing}: ${known.message}`)
  }
  return new StoreError(SYSTEM_KINDS[code ?? ""] ?? "unavailable", `${doing}: ${message}`)
}
