import { afterAll, afterEach, expect, test } from "bun:test"
import { SQL } from "bun"
import { MIGRATIONS } from "../../src/store/migrations.ts"
import type { Store } from "../../src/store/sql.ts"
import { type Postgres, startPostgres } from "../support/postgres.ts"
import { closeStores, open, openTransaction, storeErrorOf } from "../support/store.ts"

let started: Promise<Postgres> | undefined
/** A server of this file's own, as it is stopped and killed. */
const server = (): Promise<Postgres> => (started ??= startPostgres(["max_connections=30"]))
afterEach(closeStores)
afterAll(async () => (await started)?.remove())

async function notes(overrides: Parameters<typeof open>[1] = {}): Promise<Store> {
  const store = await open(await (await server()).createDatabase(), overrides)
  await store.run("CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT)")
  return store
}
const add = "INSERT INTO notes (id, text) VALUES ($1, $2)"
const ids = async (store: Store) =>
  (await store.all<{ id: number }>("SELECT id FROM notes ORDER BY id")).map((row) => row.id)
const pid = async (sql: Pick<Store, "get">) =>
  (await sql.get<{ pid: number }>("SELECT pg_backend_pid() AS pid"))!.pid

/** Something an administrator does, on a connection of its own. */
async function asAdministrator<T>(act: (sql: SQL) => Promise<T>): Promise<T> {
  const sql = new SQL({ url: (await server()).url, database: "postgres", max: 1 })
  try {
    return await act(sql)
  } finally {
    await sql.close()
  }
}

/** Connections of stores, as the server counts them. */
const connections = (): Promise<number> =>
  asAdministrator(async (sql) => {
    const [row] =
      await sql`SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'gatehouse'`
    return row.n
  })

test("[F-45] a server that is stopped and started again: unavailable at once, then as before", async () => {
  const store = await notes({ poolSize: 3 })
  await store.run(add, [1, "before"])
  await (await server()).stop()
  const before = performance.now()
  const errors = await Promise.all([store.run(add, [2, ""]), store.all("SELECT 1")].map(storeErrorOf))
  expect(errors.map((each) => each.kind)).toEqual(["unavailable", "unavailable"])
  expect((await storeErrorOf(store.transaction(async () => 1))).kind).toBe("unavailable")
  expect(performance.now() - before).toBeLessThan(5000)
  await (await server()).start()
  await Promise.all(Array.from({ length: 20 }, (_, i) => store.run(add, [i + 10, "after"])))
  expect((await ids(store)).length).toBe(21)
  expect(await connections()).toBeLessThanOrEqual(3)
})

test("[F-45] a server that is not there when the store opens is named, without the password", async () => {
  const away = (await (await server()).createDatabase()).replace("postgres@", "postgres:hunter2@")
  await (await server()).stop()
  const error = await storeErrorOf(open(away))
  await (await server()).start()
  expect(error.kind).toBe("unavailable")
  expect(Bun.inspect(error)).not.toContain("hunter2")
  const missing = await storeErrorOf(open(away.replace(/\w+$/, "nowhere")))
  expect(`${missing.kind} ${missing.message}`).toMatch(
    /^unavailable opening the store at 127.0.0.1:\d+\/nowhere: .*"nowhere" does not exist/,
  )
})

test("[F-45] a server killed within a transaction: nothing of it is kept", async () => {
  const store = await notes()
  await store.run(add, [1, "before"])
  const error = await storeErrorOf(
    store.transaction(async (sql) => {
      await sql.run(add, [2, "inside"])
      await (await server()).kill()
      await (await server()).start()
      await sql.run(add, [3, "outside"])
    }),
  )
  expect(error.kind).toBe("unavailable")
  expect(await ids(store)).toEqual([1])
})

test("[F-45] a connection lost within a transaction is not replaced beneath it", async () => {
  const store = await notes({ poolSize: 1 })
  let survived: string | undefined
  const error = await storeErrorOf(
    store.transaction(async (sql) => {
      await sql.run(add, [1, "inside"])
      const backend = await pid(sql)
      await asAdministrator((admin) => admin`SELECT pg_terminate_backend(${backend}, 5000)`)
      survived = await sql.run(add, [2, "outside"]).then(
        () => "ran",
        (each) => each.kind,
      )
    }),
  )
  expect(survived).toBe("unavailable")
  expect(error.kind).toBe("unavailable")
  expect(await ids(store)).toEqual([])
})

test("[F-45] a statement that is too slow ends as busy, and its connection goes on", async () => {
  const store = await notes({ poolSize: 1, statementTimeoutMs: 200 })
  const first = await pid(store)
  const slow = await storeErrorOf(store.all("SELECT pg_sleep(30)"))
  expect(`${slow.kind} ${slow.message}`).toContain(
    "busy asking PostgreSQL: canceling statement due to statement timeout",
  )
  expect(await pid(store)).toBe(first)
})

test("[F-45] a connection that falls silent is given up and replaced", async () => {
  const store = await notes({ poolSize: 1, statementTimeoutMs: 200 })
  const silent = await pid(store)
  process.kill(silent, "SIGSTOP")
  try {
    const error = await storeErrorOf(store.run(add, [1, ""]))
    expect(`${error.kind} ${error.message}`).toContain(
      "unavailable asking PostgreSQL: no answer within 1200 ms",
    )
    expect(await pid(store)).not.toBe(silent)
  } finally {
    process.kill(silent, "SIGCONT")
  }
})

test("[F-45] a server that takes connections and says nothing: unavailable when the time to connect is over", async () => {
  const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } })
  try {
    const url = `postgres://postgres@127.0.0.1:${silent.port}/postgres`
    const error = await storeErrorOf(open(url, { connectTimeoutMs: 200 }))
    expect(`${error.kind} ${error.message}`).toContain(
      "/postgres: connecting to PostgreSQL: no answer within 200 ms",
    )
  } finally {
    silent.stop(true)
  }
})

test("[F-45] a hundred callers at once share the pool", async () => {
  const store = await notes({ poolSize: 4 })
  let most = 0
  const callers = Array.from({ length: 100 }, () => store.all("SELECT pg_sleep(0.005)"))
  most = await connections()
  await Promise.all(callers)
  expect(most).toBeGreaterThan(1)
  expect(most).toBeLessThanOrEqual(4)
})

test("[F-45] a server with no connection left: unavailable, and as before when there is one", async () => {
  const store = await notes({ poolSize: 1 })
  await asAdministrator(async (admin) => {
    await admin`SELECT pg_terminate_backend(${await pid(store)}, 5000)`
    const { url } = await server()
    const others = Array.from({ length: 30 }, () => new SQL({ url, database: "postgres", max: 1 }))
    await Promise.allSettled(others.map((each) => each.connect()))
    const error = await storeErrorOf(store.all("SELECT 1"))
    expect(`${error.kind} ${error.message}`).toContain(
      "unavailable asking PostgreSQL: sorry, too many clients",
    )
    await Promise.all(others.map((each) => each.close({ timeout: 0 })))
    let left = Number.POSITIVE_INFINITY
    while (left > 10) [{ left }] = await admin`SELECT count(*)::int AS left FROM pg_stat_activity`
  })
  expect(await ids(store)).toEqual([])
})

test("[F-45] two that wait for each other: one is busy, the other is done", async () => {
  const store = await notes()
  await store.run(add, [1, ""])
  await store.run(add, [2, ""])
  const [one, other] = [await openTransaction(store), await openTransaction(store)]
  const touch = "UPDATE notes SET text = 'x' WHERE id = $1"
  await one.sql.run(touch, [1])
  await other.sql.run(touch, [2])
  const crossed = await Promise.allSettled([one.sql.run(touch, [2]), other.sql.run(touch, [1])])
  const ends = await Promise.allSettled([one.end(), other.end()])
  const kinds = [...crossed, ...ends].map((each) => (each.status === "fulfilled" ? "ok" : each.reason.kind))
  expect(kinds.sort()).toEqual(["busy", "busy", "ok", "ok"])
})

test("[F-45] another process that migrates for too long: refused, and done when it has ended", async () => {
  const url = await (await server()).createDatabase()
  const other = new SQL({ url, database: new URL(url).pathname.slice(1), max: 1 })
  await other.unsafe("BEGIN")
  await other.unsafe("SELECT pg_advisory_xact_lock(1734440037)")
  const error = await storeErrorOf(open(url, { migrationMs: 200 }))
  expect(error.kind).toBe("busy")
  expect(error.message).toContain(": updating the schema: another process")
  const waiting = open(url)
  await other.unsafe("ROLLBACK")
  await other.close()
  expect((await (await waiting).all("SELECT id FROM users")).length).toBe(0)
})

test("[F-45] processes that migrate at once do it once", async () => {
  const url = await (await server()).createDatabase()
  const steps: unknown[] = []
  const log = {
    debug() {},
    warn() {},
    error() {},
    info: (_: string, fields: unknown) => void steps.push(fields),
  }
  await Promise.all(Array.from({ length: 4 }, () => open(url, { log: log as never, poolSize: 1 })))
  expect(steps.length).toBe(MIGRATIONS.length)
})

test("a table that changes under a prepared statement costs one call at most", async () => {
  const store = await notes({ poolSize: 1 })
  await store.run(add, [1, "x"])
  expect(await store.all("SELECT * FROM notes")).toEqual([{ id: 1, text: "x" }])
  await store.run("ALTER TABLE notes ADD COLUMN more TEXT")
  const changed = await store.all("SELECT * FROM notes").catch((error) => error.kind)
  expect(["unavailable", [{ id: 1, text: "x", more: null }]]).toContainEqual(changed)
  expect(await store.all("SELECT * FROM notes")).toEqual([{ id: 1, text: "x", more: null }])
})

test("the database is that of the URL, whatever the environment says", async () => {
  const url = await (await server()).createDatabase()
  process.env.PGDATABASE = "nowhere"
  try {
    const store = await open(url)
    expect(await store.get("SELECT current_database() AS name")).toEqual({
      name: new URL(url).pathname.slice(1),
    })
  } finally {
    delete process.env.PGDATABASE
  }
})
