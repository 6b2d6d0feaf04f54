import { afterEach, expect, test } from "bun:test"
import { migrate } from "../../src/store/migrate.ts"
import { MIGRATIONS } from "../../src/store/migrations.ts"
import type { Store } from "../../src/store/sql.ts"
import { closeStores, open, openTransaction, storeErrorOf } from "../support/store.ts"

/** What every store does, whatever its database. `freshUrl`: of a database nobody has used. */
export function storeSuite(freshUrl: () => Promise<string>): void {
  afterEach(closeStores)

  /** A store with a table of words and counts. */
  async function words(overrides: Parameters<typeof open>[1] = {}): Promise<Store> {
    const store = await open(await freshUrl(), overrides)
    await store.run(
      "CREATE TABLE words (word TEXT PRIMARY KEY, n BIGINT NOT NULL, of TEXT REFERENCES words(word))",
    )
    return store
  }
  const add = "INSERT INTO words (word, n) VALUES ($1, $2)"
  const count = async (store: Store) => (await store.get<{ n: number }>("SELECT count(*) AS n FROM words"))!.n

  test("the schema is there when it opens, and is kept when it opens again", async () => {
    const url = await freshUrl()
    const first = await open(url, { wallClock: () => 1_790_000_000_123 })
    const rows = await first.all("SELECT id, name, applied_at FROM schema_migrations ORDER BY id")
    expect(rows).toEqual(MIGRATIONS.map(({ id, name }) => ({ id, name, applied_at: 1_790_000_000_123 })))
    await first.close()
    const again = await open(url, { wallClock: () => 1 })
    expect(await again.all("SELECT id, name, applied_at FROM schema_migrations ORDER BY id")).toEqual(rows)
  })

  test("values come back as they went in", async () => {
    const store = await open(await freshUrl())
    const binary = store.dialect === "postgres" ? "BYTEA" : "BLOB"
    await store.run(`CREATE TABLE kept (id BIGINT PRIMARY KEY, t TEXT, n BIGINT, b ${binary})`)
    const rows = [
      { id: 1, t: "", n: 0, b: new Uint8Array() },
      { id: 2, t: "ä 𝄞 ' \" $1 ?\n", n: -1, b: new Uint8Array([0, 255, 128]) },
      { id: 3, t: "5", n: 1_790_000_000_123, b: new Uint8Array(70_000).fill(7) },
      { id: 4, t: null, n: null, b: null },
      { id: 2 ** 31, t: "x", n: Number.MAX_SAFE_INTEGER, b: null },
    ]
    for (const { id, t, n, b } of rows)
      await store.run("INSERT INTO kept (id, t, n, b) VALUES ($1, $2, $3, $4)", [id, t, n, b])
    const got = await store.all<{ b: unknown }>("SELECT id, t, n, b FROM kept ORDER BY id")
    expect(got).toEqual(rows)
    expect(got[1]!.b).toBeInstanceOf(Uint8Array)
    expect(Buffer.isBuffer(got[1]!.b)).toBe(false)
  })

  test("placeholders count, wherever they stand and however often", async () => {
    const store = await words()
    await store.run("INSERT INTO words (n, word) VALUES ($2, $1)", ["a", 5])
    await store.run("UPDATE words SET n = n + $2 + $2 WHERE word = $1", ["a", 10])
    expect(await store.all("SELECT word, n FROM words")).toEqual([{ word: "a", n: 25 }])
  })

  test("a statement tells how many rows it has changed", async () => {
    const store = await words()
    expect(await store.run(add, ["a", 1])).toBe(1)
    expect(await store.run(`${add} ON CONFLICT (word) DO NOTHING`, ["a", 1])).toBe(0)
    expect(await store.run(`${add} ON CONFLICT (word) DO UPDATE SET n = $2`, ["a", 2])).toBe(1)
    await store.run(add, ["b", 1])
    expect(await store.run("UPDATE words SET n = n + 1")).toBe(2)
    expect(await store.run("SELECT word FROM words")).toBe(0)
    expect(await store.run("CREATE TABLE other (id BIGINT)")).toBe(0)
    expect(await store.run("DELETE FROM words")).toBe(2)
  })

  test("one row, or undefined; aggregates are numbers; RETURNING gives rows", async () => {
    const store = await words()
    expect(await store.get("SELECT word FROM words")).toBeUndefined()
    const made = await store.all("INSERT INTO words (word, n) VALUES ($1, $2), ($3, $4) RETURNING word", [
      "a",
      2,
      "b",
      3,
    ])
    expect(made).toEqual([{ word: "a" }, { word: "b" }])
    const sums = "SELECT count(*) AS n, max(n) AS most, CAST(sum(n) AS BIGINT) AS total FROM words"
    expect(await store.get(sums)).toEqual({ n: 2, most: 3, total: 5 })
  })

  test("a row that is there already is a conflict, and nothing else is", async () => {
    const store = await words()
    await store.run(add, ["a", 1])
    const again = await storeErrorOf(store.run(add, ["a", 1]))
    expect(again.kind).toBe("conflict")
    const stranger = await storeErrorOf(store.run("INSERT INTO words VALUES ('b', 1, 'nobody')"))
    expect(stranger.kind).toBe("failed")
    expect((await storeErrorOf(store.run("INSERT INTO words (word) VALUES ('c')"))).kind).toBe("failed")
    expect(await count(store)).toBe(1)
  })

  test("a statement that makes no sense fails, without the values it came with", async () => {
    const store = await words()
    for (const [text, values] of [
      ["SELEC 1", []],
      ["SELECT word FROM nowhere WHERE word = $1", ["hunter2"]],
      [add, ["hunter2"]],
      ["SELECT word FROM words WHERE word = $1", ["hunter2", "more"]],
    ] as const) {
      const error = await storeErrorOf(store.all(text, values))
      expect(error.kind).toBe("failed")
      expect(Bun.inspect(error)).not.toContain("hunter2")
    }
    expect(await count(store)).toBe(0)
  })

  test("a transaction is kept as a whole, or not at all", async () => {
    const store = await words()
    const value = await store.transaction(async (sql) => {
      await sql.run(add, ["a", 1])
      await sql.run(add, ["b", 2])
      return (await sql.all("SELECT word FROM words")).length
    })
    expect(value).toBe(2)
    const reason = new Error("changed my mind")
    const failed = store.transaction(async (sql) => {
      await sql.run(add, ["c", 3])
      throw reason
    })
    expect(await failed.catch((error) => error)).toBe(reason)
    expect(await count(store)).toBe(2)
  })

  test("a statement beside an open transaction never becomes part of it", async () => {
    const store = await words()
    let beside: Promise<number> | undefined
    const failed = store.transaction(async (sql) => {
      await sql.run(add, ["inside", 1])
      beside = store.run(add, ["beside", 1])
      await sql.run(add, ["inside too", 1])
      throw new Error("changed my mind")
    })
    await expect(failed).rejects.toThrow("changed my mind")
    expect(await beside).toBe(1)
    expect(await store.all("SELECT word FROM words")).toEqual([{ word: "beside" }])
  })

  test("a statement that fails ends its transaction, though the work goes on as if nothing were", async () => {
    const store = await words()
    await store.run(add, ["a", 1])
    const error = await storeErrorOf(
      store.transaction(async (sql) => {
        await sql.run(add, ["b", 1])
        expect((await storeErrorOf(sql.run(add, ["a", 1]))).kind).toBe("conflict")
        expect((await storeErrorOf(sql.run(add, ["c", 1]))).message).toContain(
          "a statement before has failed",
        )
        return "all well"
      }),
    )
    expect(error.kind).toBe("conflict")
    expect(await count(store)).toBe(1)
  })

  test("statements of a transaction that ended do not run, waited for or not", async () => {
    const store = await words()
    const kept = await store.transaction(async (sql) => sql)
    expect((await storeErrorOf(kept.run(add, ["late", 1]))).message).toContain("it has ended")
    const errors: string[] = []
    await store.transaction(async (sql) => {
      for (let i = 0; i < 3; i++)
        sql.run(add, [`${i}`, i]).catch((error: Error) => errors.push(error.message))
    })
    await store.run(add, ["after", 1])
    expect((await count(store)) + errors.length).toBe(4)
    expect(errors.every((each) => each.includes("it has ended"))).toBe(true)
  })

  test("nothing is lost when many write one row at once", async () => {
    const store = await words()
    await store.run(add, ["a", 0])
    await Promise.all(
      Array.from({ length: 50 }, () =>
        store.transaction(async (sql) => {
          await sql.run("UPDATE words SET n = n + 1 WHERE word = $1", ["a"])
        }),
      ),
    )
    expect(await store.all("SELECT n FROM words")).toEqual([{ n: 50 }])
  })

  test("of many who take one thing, one gets it", async () => {
    const store = await words()
    await store.run(add, ["a", 0])
    const changed = await Promise.all(
      Array.from({ length: 50 }, () =>
        store.transaction((sql) => sql.run("UPDATE words SET n = 1 WHERE word = 'a' AND n = 0")),
      ),
    )
    expect(changed.filter((each) => each === 1)).toEqual([1])
  })

  test("[F-45] the queue for a turn is bounded in length and in time", async () => {
    const store = await words({ poolSize: 1, maxWaiting: 2, waitMs: 100 })
    const first = await openTransaction(store)
    const waiting = [store.run(add, ["a", 1]), store.run(add, ["b", 1])].map(storeErrorOf)
    expect((await storeErrorOf(store.run(add, ["c", 1]))).message).toContain("2 others wait")
    for (const each of await Promise.all(waiting)) {
      expect(each.kind).toBe("busy")
      expect(each.message).toContain("no turn within 100 ms")
    }
    const patient = store.run(add, ["d", 1])
    await first.end()
    expect(await patient).toBe(1)
    expect(await store.all("SELECT word FROM words")).toEqual([{ word: "d" }])
  })

  test("work that never ends is rolled back when its time is over, and others go on", async () => {
    const store = await words({ poolSize: 1, transactionMs: 100 })
    const stuck = store.transaction(async (sql) => {
      await sql.run(add, ["a", 1])
      await new Promise(() => undefined)
    })
    const next = store.run(add, ["b", 1])
    expect((await storeErrorOf(stuck)).message).toContain("longer than 100 ms")
    expect(await next).toBe(1)
    expect(await store.all("SELECT word FROM words")).toEqual([{ word: "b" }])
  })

  test("closing waits for what is under way, refuses who waits and who comes later", async () => {
    const store = await words({ poolSize: 1 })
    const first = await openTransaction(store)
    const waiting = storeErrorOf(store.run(add, ["a", 1]))
    let closed = false
    const closing = store.close().then(() => (closed = true))
    expect((await waiting).kind).toBe("unavailable")
    expect((await storeErrorOf(store.get("SELECT 1 AS one"))).message).toContain("closed")
    expect(await first.sql.run(add, ["b", 1])).toBe(1)
    expect(closed).toBe(false)
    await first.end()
    await closing
    await store.close()
  })

  test("every statement is measured, with how it ended", async () => {
    const seen: string[] = []
    const store = await words({ onQuery: (ms, outcome) => void (ms >= 0 && seen.push(outcome)) })
    seen.length = 0
    await store.run(add, ["a", 1])
    await storeErrorOf(store.run(add, ["a", 1]))
    await storeErrorOf(store.all("SELEC"))
    expect(seen).toEqual(["ok", "conflict", "failed"])
    seen.length = 0
    await store.transaction((sql) => sql.get("SELECT 1 AS one"))
    expect(seen).toEqual(["ok", "ok", "ok"])
    await store.close()
    await storeErrorOf(store.get("SELECT 1 AS one"))
    expect(seen.at(-1)).toBe("unavailable")
  })

  test("more different statements than are kept prepared", async () => {
    const store = await words()
    for (let round = 0; round < 2; round++)
      for (let i = 0; i < 250; i++)
        expect(await store.get(`SELECT ${i} AS n, $1 AS v`, ["x"])).toEqual({ n: i, v: "x" })
  })

  const step = (statements: string[]) => ({ id: MIGRATIONS.length + 1, name: "more", statements })

  test("a step that fails leaves nothing of itself, and is done when it can be", async () => {
    const store = await open(await freshUrl())
    const broken = step(["CREATE TABLE more (a TEXT, b BLOB)", "CREATE TABLE more (a TEXT)"])
    expect((await storeErrorOf(migrate(store, Date.now, [...MIGRATIONS, broken]))).kind).toBe("failed")
    expect((await storeErrorOf(store.all("SELECT a FROM more"))).kind).toBe("failed")
    const mended = [
      ...MIGRATIONS,
      step(["CREATE TABLE more (a TEXT, b BLOB)", "INSERT INTO more VALUES ('BLOB ''', NULL)"]),
    ]
    expect(await migrate(store, Date.now, mended)).toEqual([MIGRATIONS.length + 1])
    expect(await migrate(store, Date.now, mended)).toEqual([])
    expect(await store.all("SELECT a, b FROM more")).toEqual([{ a: "BLOB '", b: null }])
  })

  test("a database of a newer program is refused, and one made by other steps", async () => {
    const url = await freshUrl()
    const store = await open(url)
    await migrate(store, Date.now, [...MIGRATIONS, step(["CREATE TABLE more (a TEXT)"])])
    expect((await storeErrorOf(open(url))).message).toContain("use a newer one")
    const last = "WHERE id = $1"
    await store.run(`DELETE FROM schema_migrations ${last}`, [MIGRATIONS.length + 1])
    await (await open(url)).close()
    await store.run(`UPDATE schema_migrations SET checksum = 'other' ${last}`, [MIGRATIONS.length])
    expect((await storeErrorOf(open(url))).message).toContain("is not the one this program knows")
  })
}
