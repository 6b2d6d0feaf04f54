import { MIGRATIONS, type Migration } from "./migrations.ts"
import { type Sql, type Store, StoreError } from "./sql.ts"

const VERSION_TABLE = `CREATE TABLE IF NOT EXISTS schema_migrations (
  id BIGINT PRIMARY KEY,
  name TEXT NOT NULL,
  checksum TEXT NOT NULL,
  applied_at BIGINT NOT NULL
)`

/** Number of the advisory lock in PostgreSQL: "gatehouse", cut to what fits. */
const LOCK = 0x67617465

/**
 * Brings the schema up to date, one transaction a migration; the ids of those applied now. Processes that do so at
 * once wait for each other. Rejects with "failed" when the database is newer than this program, or was made by
 * migrations that are not its own.
 */
export async function migrate(
  store: Store,
  wallClock: () => number,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<readonly number[]> {
  const applied: number[] = []
  for (;;) {
    const next = await store.transaction(async (sql) => {
      if (store.dialect === "postgres") await lock(sql)
      await sql.run(VERSION_TABLE)
      const migration = await pendingMigration(sql, migrations)
      if (migration === undefined) return undefined
      for (const statement of migration.statements) await sql.run(translate(statement, store.dialect))
      await sql.run(
        "INSERT INTO schema_migrations (id, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
        [migration.id, migration.name, checksum(migration), wallClock()],
      )
      return migration
    })
    if (next === undefined) return applied
    applied.push(next.id)
  }
}

/** The first migration that is still to do; undefined: none. Throws StoreError as `migrate` does. */
export async function pendingMigration(
  sql: Sql,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<Migration | undefined> {
  const done = await sql.all<{ id: number; name: string; checksum: string }>(
    "SELECT id, name, checksum FROM schema_migrations ORDER BY id",
  )
  for (const [i, row] of done.entries()) {
    const migration = migrations[i]
    if (migration === undefined)
      throw new StoreError(
        "failed",
        `checking the schema: it is at version ${done.at(-1)!.id}, this program knows ${migrations.length}: use a newer one`,
      )
    if (row.id !== migration.id || row.checksum !== checksum(migration))
      throw new StoreError(
        "failed",
        `checking the schema: step ${row.id} "${row.name}" is not the one this program knows as ${migration.id} "${migration.name}"`,
      )
  }
  return migrations[done.length]
}

/** Waits until no other process migrates; SQLite has that from BEGIN IMMEDIATE. */
async function lock(sql: Sql): Promise<void> {
  try {
    await sql.all("SELECT pg_advisory_xact_lock($1)", [LOCK])
  } catch (error) {
    if (!(error instanceof StoreError) || error.kind !== "busy") throw error
    throw new StoreError("busy", "updating the schema: another process has been at it for too long", {
      cause: error,
    })
  }
}

function checksum(migration: Migration): string {
  const text = JSON.stringify([migration.id, migration.name, migration.statements])
  return new Bun.CryptoHasher("sha256").update(text).digest("hex")
}

/** Column types both databases know are written as they are; one is not. What is quoted stays. */
function translate(statement: string, dialect: Store["dialect"]): string {
  if (dialect === "sqlite") return statement
  return statement.replace(/'(?:[^']|'')*'|\bBLOB\b/g, (found) => (found === "BLOB" ? "BYTEA" : found))
}
