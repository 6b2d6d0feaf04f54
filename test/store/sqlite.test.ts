import { Database as Sqlite } from "bun:sqlite"
import { afterAll, describe, expect, test } from "bun:test"
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { open } from "../support/store.ts"
import { storeSuite } from "./suite.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-store-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const freshFile = () => join(folder, `${++files}.db`)

describe("SQLite in a file", () => {
  storeSuite(async () => `sqlite:${freshFile()}`)

  test("the file and its log are for their owner alone, also one that was open to all", async () => {
    const file = freshFile()
    const store = await open(`sqlite:${file}`)
    await store.run("CREATE TABLE t (a TEXT)")
    const mode = (name: string) => statSync(name).mode & 0o777
    expect([file, `${file}-wal`, `${file}-shm`].map(mode)).toEqual([0o600, 0o600, 0o600])
    await store.close()
    chmodSync(file, 0o644)
    await open(`sqlite:${file}`)
    expect(mode(file)).toBe(0o600)
  })

  test("every commit is on the disk when it is acknowledged, and references are checked", async () => {
    const store = await open(`sqlite:${freshFile()}`)
    expect(await store.get("PRAGMA journal_mode")).toEqual({ journal_mode: "wal" })
    expect(await store.get("PRAGMA synchronous")).toEqual({ synchronous: 2 })
    expect(await store.get("PRAGMA foreign_keys")).toEqual({ foreign_keys: 1 })
  })

  test("closing leaves one file, with everything in it", async () => {
    const file = freshFile()
    const store = await open(`sqlite:${file}`)
    await store.run("CREATE TABLE t (a TEXT)")
    await store.close()
    expect(readdirSync(folder).filter((name) => name.startsWith(`${files}.`))).toEqual([`${files}.db`])
    expect(new Sqlite(file, { readonly: true }).query("SELECT count(*) AS n FROM t").get()).toEqual({ n: 0 })
  })

  test("processes that open a new one at once all get the same", async () => {
    const file = freshFile()
    const program = join(import.meta.dir, "../support/store_process.ts")
    const children = Array.from({ length: 4 }, (_, i) =>
      Bun.spawn([process.execPath, program, `sqlite:${file}`, `child${i}`, "3"], {
        stdout: "pipe",
        stderr: "inherit",
      }),
    )
    expect(await Promise.all(children.map((child) => child.exited))).toEqual([0, 0, 0, 0])
    const store = await open(`sqlite:${file}`)
    expect(await store.get("SELECT count(*) AS n FROM acknowledged")).toEqual({ n: 12 })
    expect(existsSync(`${file}.new-${children[0]!.pid}`)).toBe(false)
  })
})

describe("SQLite in memory", () => {
  storeSuiteInMemory()
})

/** A database in memory cannot be opened twice: only what needs it once. */
function storeSuiteInMemory(): void {
  test("two are two", async () => {
    const [one, other] = [await open("sqlite::memory:"), await open("sqlite::memory:")]
    await one.run("CREATE TABLE t (a TEXT)")
    await other.run("CREATE TABLE t (a TEXT)")
    await one.run("INSERT INTO t VALUES ('x')")
    expect(await other.all("SELECT a FROM t")).toEqual([])
    await one.close()
    await other.close()
  })
}
