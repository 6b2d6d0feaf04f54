import { Database as Sqlite } from "bun:sqlite"
import { afterAll, afterEach, expect, test } from "bun:test"
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { backUp, restore } from "../../src/store/backup.ts"
import { StoreError } from "../../src/store/sql.ts"
import { closeStores, open, storeErrorOf } from "../support/store.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-store-"))
afterEach(closeStores)
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const freshFile = () => join(folder, `${++files}.db`)
const add = "INSERT INTO events (id, type, payload, created_at, expires_at) VALUES ($1, 'x', '', 0, 0)"
const PROCESS = join(import.meta.dir, "../support/store_process.ts")

/** A closed store with one event. */
async function storeOf(id: string): Promise<string> {
  const file = freshFile()
  const store = await open(`sqlite:${file}`)
  await store.run(add, [id])
  await store.close()
  return file
}

async function eventsOf(file: string): Promise<unknown[]> {
  const store = await open(`sqlite:${file}`)
  const rows = await store.all<{ id: string }>("SELECT id FROM events ORDER BY id")
  await store.close()
  return rows.map((row) => row.id)
}

function errorOf(act: () => unknown): StoreError {
  try {
    act()
  } catch (error) {
    if (error instanceof StoreError) return error
    throw error
  }
  throw new Error("it did not fail")
}

/** Files beside a database that belong to it. */
const beside = (file: string) =>
  readdirSync(folder).filter((name) => join(folder, name).startsWith(`${file}.`))

test("a backup of a store in use has all that was acknowledged before, and is its owner's alone", async () => {
  const file = freshFile()
  const child = Bun.spawn([process.execPath, PROCESS, `sqlite:${file}`, "x", "0"], { stdout: "pipe" })
  let [text, before] = ["", 0]
  const to = `${file}.backup`
  for await (const chunk of child.stdout) {
    text += Buffer.from(chunk).toString()
    const count = text.split("\n").length - 1
    if (before === 0 && count > 50) {
      before = count
      expect(backUp(file, to, false)).toBe(statSync(to).size)
    } else if (before > 0 && count > before + 50) child.kill("SIGKILL")
  }
  await child.exited
  expect(statSync(to).mode & 0o777).toBe(0o600)
  expect(beside(to)).toEqual([])
  const copy = new Sqlite(to, { readonly: true })
  const rows = copy.query<{ n: number }, []>("SELECT count(*) AS n FROM acknowledged").get()!.n
  expect(rows).toBeGreaterThanOrEqual(before)
  expect(rows).toBeLessThan(text.split("\n").length - 1)
  expect(copy.query("PRAGMA integrity_check").get()).toEqual({ integrity_check: "ok" })
})

test("a backup takes the place of no other file, unless told to, and never that of its store", async () => {
  const file = await storeOf("a")
  const to = freshFile()
  writeFileSync(to, "dear")
  expect(errorOf(() => backUp(file, to, false)).message).toContain("exists already")
  expect(readFileSync(to, "utf8")).toBe("dear")
  expect(errorOf(() => backUp(file, file, true)).message).toContain("the database itself")
  backUp(file, to, true)
  expect(await eventsOf(to)).toEqual(["a"])
  expect(await eventsOf(file)).toEqual(["a"])
})

test("[F-46] no backup is made of what is missing or damaged, and none is left half", async () => {
  const file = await storeOf("a")
  truncateSync(file, statSync(file).size - 4096 * 3)
  const to = freshFile()
  expect(errorOf(() => backUp(file, to, false)).kind).toBe("corrupt")
  expect(errorOf(() => backUp(`${file}-gone`, to, false)).kind).toBe("unavailable")
  expect(errorOf(() => backUp(file, join(folder, "gone", "to.db"), false)).kind).toBe("unavailable")
  expect(readdirSync(folder).filter((name) => name.startsWith(`${files}.`))).toEqual([])
})

test("a restore brings the backup, and keeps what was there under names of its own", async () => {
  const [one, other] = [await storeOf("one"), await storeOf("other")]
  const [first, second] = [freshFile(), freshFile()]
  backUp(one, first, false)
  backUp(other, second, false)
  expect(await restore(second, one)).toBe(`${one}.before-restore`)
  expect(await eventsOf(one)).toEqual(["other"])
  expect(await eventsOf(`${one}.before-restore`)).toEqual(["one"])
  expect(await restore(first, one)).toBe(`${one}.before-restore-2`)
  expect(await eventsOf(one)).toEqual(["one"])
  expect(statSync(one).mode & 0o777).toBe(0o600)
  expect(
    beside(one)
      .map((name) => join(folder, name))
      .sort(),
  ).toEqual([`${one}.before-restore`, `${one}.before-restore-2`])
})

test("a restore where nothing is makes the store", async () => {
  const [backup, file] = [freshFile(), freshFile()]
  backUp(await storeOf("a"), backup, false)
  expect(await restore(backup, file)).toBeUndefined()
  expect(await eventsOf(file)).toEqual(["a"])
})

test("a restore is refused while somebody has the store open, idle though they are", async () => {
  const file = freshFile()
  const store = await open(`sqlite:${file}`)
  await store.run(add, ["a"])
  const backup = freshFile()
  backUp(await storeOf("other"), backup, false)
  // A process of its own: SQLite locks between processes.
  const main = join(import.meta.dir, "../../src/store/backup.ts")
  const program = `import { restore } from ${JSON.stringify(main)}; await restore(${JSON.stringify(backup)}, ${JSON.stringify(file)})`
  const child = Bun.spawnSync([process.execPath, "-e", program], { stderr: "pipe" })
  expect(child.stderr.toString()).toContain("another process uses the database")
  expect(beside(file)).toEqual([])
  expect(await store.run(add, ["b"])).toBe(1)
  await store.close()
  expect(await eventsOf(file)).toEqual(["a", "b"])
  expect(Bun.spawnSync([process.execPath, "-e", program]).exitCode).toBe(0)
  expect(await eventsOf(file)).toEqual(["other"])
})

test("[F-46] a backup that is damaged, newer, of something else or in use is refused, and the store stays", async () => {
  const file = await storeOf("mine")
  const damaged = await storeOf("a")
  truncateSync(damaged, statSync(damaged).size - 4096 * 3)
  expect((await storeErrorOf(restore(damaged, file))).kind).toBe("corrupt")
  const newer = await storeOf("a")
  const edit = new Sqlite(newer)
  edit.run("INSERT INTO schema_migrations VALUES (99, 'later', 'x', 0)")
  edit.close()
  expect((await storeErrorOf(restore(newer, file))).message).toContain("use a newer one")
  const stranger = freshFile()
  const made = new Sqlite(stranger)
  made.run("CREATE TABLE recipes (a TEXT)")
  made.close()
  expect((await storeErrorOf(restore(stranger, file))).message).toContain("no database of Gatehouse")
  const used = freshFile()
  await (await open(`sqlite:${used}`)).run(add, ["a"])
  expect((await storeErrorOf(restore(used, file))).message).toContain("a database in use")
  expect((await storeErrorOf(restore(file, file))).message).toContain("the database itself")
  expect((await storeErrorOf(restore(`${file}-gone`, file))).kind).toBe("unavailable")
  expect(beside(file)).toEqual([])
  expect(await eventsOf(file)).toEqual(["mine"])
})

test("[F-46] a restore replaces a damaged store, and keeps what is left of it", async () => {
  const backup = freshFile()
  backUp(await storeOf("good"), backup, false)
  const file = freshFile()
  writeFileSync(file, "noise ".repeat(5000))
  expect(readFileSync((await restore(backup, file))!, "utf8").slice(0, 5)).toBe("noise")
  expect(await eventsOf(file)).toEqual(["good"])
})

test("[F-46] a restore where a log is left without its store keeps the log apart", async () => {
  const backup = freshFile()
  backUp(await storeOf("good"), backup, false)
  const file = freshFile()
  const store = await open(`sqlite:${file}`)
  await store.run(add, ["lost"])
  copyFileSync(`${file}-wal`, `${file}-copy`)
  await store.close()
  rmSync(file)
  renameSync(`${file}-copy`, `${file}-wal`)
  expect(await restore(backup, file)).toBe(`${file}.before-restore`)
  expect(existsSync(`${file}.before-restore-wal`)).toBe(true)
  expect(await eventsOf(file)).toEqual(["good"])
})
