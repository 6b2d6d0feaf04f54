import { Database as Sqlite } from "bun:sqlite"
import { afterAll, afterEach, expect, test } from "bun:test"
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Store } from "../../src/store/sql.ts"
import { closeStores, NO_LOG, open, storeErrorOf } from "../support/store.ts"
import { mountTmpfs, unmountAll } from "../support/tmpfs.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-store-"))
afterEach(async () => {
  await closeStores()
  unmountAll()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0
const freshFile = () => join(folder, `${++files}.db`)
const PROCESS = join(import.meta.dir, "../support/store_process.ts")

async function withNotes(url: string, overrides: Parameters<typeof open>[1] = {}): Promise<Store> {
  const store = await open(url, overrides)
  await store.run("CREATE TABLE notes (id BIGINT PRIMARY KEY, text TEXT)")
  await store.run("INSERT INTO notes VALUES (1, 'first')")
  return store
}
const add = "INSERT INTO notes (id, text) VALUES ($1, $2)"

test("[F-43] 20 times killed while it writes: every acknowledged row is there, no transaction is half", async () => {
  const file = freshFile()
  const acknowledged: string[] = []
  let seed = 7
  for (let round = 0; round < 20; round++) {
    const child = Bun.spawn([process.execPath, PROCESS, `sqlite:${file}`, `r${round}`, "0"], {
      stdout: "pipe",
      stderr: "inherit",
    })
    seed = (seed * 1103515245 + 12345) % 2 ** 31
    // At any moment of any of the first statements, the migration of the first round included.
    const after = round === 0 ? 0 : seed % 60
    let text = ""
    for await (const chunk of child.stdout) {
      text += Buffer.from(chunk).toString()
      if (text.split("\n").length > after) child.kill("SIGKILL")
    }
    await child.exited
    acknowledged.push(...[...text.matchAll(/(\d+)\n/g)].map((found) => `r${round}-${found[1]}`))
  }
  expect(acknowledged.length).toBeGreaterThan(200)
  const store = await open(`sqlite:${file}`)
  const rows = await store.all<{ id: string }>("SELECT id FROM acknowledged")
  const kept = new Set(rows.map((row) => row.id))
  expect(acknowledged.filter((id) => !kept.has(id))).toEqual([])
  const half = `SELECT id FROM acknowledged WHERE twin IS NOT NULL AND twin NOT IN (SELECT id FROM twins)
    UNION SELECT id FROM twins WHERE id NOT IN (SELECT id FROM acknowledged)`
  expect(await store.all(half)).toEqual([])
  expect(await store.get("PRAGMA integrity_check")).toEqual({ integrity_check: "ok" })
}, 30_000)

test("[F-43] killed at any moment of its first start, the next one makes it whole", async () => {
  for (let round = 0; round < 10; round++) {
    const file = freshFile()
    const child = Bun.spawn([process.execPath, PROCESS, `sqlite:${file}`, "x", "0"], { stdout: "pipe" })
    // It is about to be made, or is being made.
    while (!existsSync(file) && !existsSync(`${file}.new-${child.pid}`)) await Bun.sleep(0)
    if (round > 0) await Bun.sleep(round / 2)
    child.kill("SIGKILL")
    await child.exited
    const store = await open(`sqlite:${file}`)
    expect(await store.all("SELECT id FROM users")).toEqual([])
    await store.close()
  }
}, 30_000)

test("[F-44] a full disk: writes are refused, reads go on, and writes too when there is room", async () => {
  const mount = mountTmpfs("size=2m")
  if (mount === undefined) return
  const lines: unknown[][] = []
  const log = { ...NO_LOG, error: (...line: unknown[]) => void lines.push(line) }
  const store = await withNotes(`sqlite:${join(mount, "store.db")}`, { log })
  writeFileSync(join(mount, "ballast"), new Uint8Array(900_000))
  const text = "x".repeat(50_000)
  let [written, kind] = [1, "none"]
  while (kind === "none" && written < 100)
    await store.run(add, [written + 1, text]).then(
      () => written++,
      (error) => (kind = error.kind),
    )
  expect(kind).toBe("full")
  const inTransaction = store.transaction(async (sql) => {
    for (let i = 0; i < 5; i++) await sql.run(add, [1000 + i, text])
  })
  expect((await storeErrorOf(inTransaction)).kind).toBe("full")
  const line = { kind: "full", reason: expect.stringContaining("disk is full"), untold: 0 }
  expect(lines).toEqual([["store.failing", line]])
  expect(await store.get("SELECT count(*) AS n FROM notes")).toEqual({ n: written })
  rmSync(join(mount, "ballast"))
  expect(await store.run(add, [2000, text])).toBe(1)
  expect(await store.get("SELECT count(*) AS n FROM notes")).toEqual({ n: written + 1 })
  expect(await store.get("PRAGMA integrity_check")).toEqual({ integrity_check: "ok" })
})

test("[F-44] a disk with no room for a new store is named", async () => {
  const mount = mountTmpfs("size=16k")
  if (mount === undefined) return
  const error = await storeErrorOf(open(`sqlite:${join(mount, "store.db")}`))
  expect(`${error.kind} ${error.message}`).toContain("full opening")
})

test("[F-44] a file system that cannot be written is named", async () => {
  const mount = mountTmpfs("size=4m")
  if (mount === undefined) return
  const file = join(mount, "store.db")
  await (await withNotes(`sqlite:${file}`)).close()
  Bun.spawnSync(["mount", "-o", "remount,ro", mount])
  const error = await storeErrorOf(open(`sqlite:${file}`))
  expect(error.kind).toBe("read_only")
  expect(error.message).toContain(file)
})

test("[F-44] a store that may not be written any more: writes are refused, reads go on", async () => {
  const store = await withNotes(`sqlite:${freshFile()}`)
  await store.all("PRAGMA query_only = ON")
  expect((await storeErrorOf(store.run(add, [2, ""]))).kind).toBe("read_only")
  expect(await store.all("SELECT id FROM notes")).toEqual([{ id: 1 }])
})

test("[F-44] a file its user may not write", async () => {
  if (process.getuid?.() !== 0) return console.log("not proven here: it takes root to become somebody else")
  const own = join(folder, `own${++files}`)
  mkdirSync(own)
  const file = join(own, "store.db")
  await (await withNotes(`sqlite:${file}`)).close()
  chmodSync(folder, 0o755)
  const asNobody = () =>
    Bun.spawnSync([
      "setpriv",
      "--reuid=nobody",
      "--regid=nogroup",
      "--clear-groups",
      process.execPath,
      PROCESS,
      `sqlite:${file}`,
      "x",
      "1",
    ])
  chmodSync(own, 0o777)
  expect(asNobody().stderr.toString()).toContain('kind: "read_only"')
  Bun.spawnSync(["chown", "nobody", file])
  chmodSync(own, 0o555)
  expect(asNobody().stderr.toString()).toContain('kind: "read_only"')
  chmodSync(own, 0o777)
  expect(asNobody().exitCode).toBe(0)
})

test("[F-44] a folder that is not there is named, and a folder in the place of the file", async () => {
  const missing = await storeErrorOf(open(`sqlite:${folder}/missing/store.db`))
  expect(`${missing.kind} ${missing.message}`).toContain(`the folder ${folder}/missing does not exist`)
  expect((await storeErrorOf(open(`sqlite:${folder}`))).message).toContain("it is not a file")
})

/** A store of some size, closed. */
async function filled(): Promise<string> {
  const file = freshFile()
  const store = await withNotes(`sqlite:${file}`)
  await store.transaction(async (sql) => {
    for (let i = 2; i < 200; i++) await sql.run(add, [i, `${i}`.repeat(400)])
  })
  await store.close()
  return file
}

const DAMAGES: readonly (readonly [what: string, damage: (file: string) => void])[] = [
  ["half of it", (file) => truncateSync(file, statSync(file).size / 2)],
  ["its first page alone", (file) => truncateSync(file, 4096)],
  ["its header alone", (file) => truncateSync(file, 100)],
  ["nothing of it", (file) => truncateSync(file, 0)],
  ["a text in its place", (file) => writeFileSync(file, "# not a database\n".repeat(1000))],
  ["zeros in its place", (file) => writeFileSync(file, new Uint8Array(statSync(file).size))],
  ["noise over its inner pages", (file) => overwrite(file, 4096 * 3, 4096 * 20)],
  ["noise over the table of contents", (file) => overwrite(file, 100, 3000)],
]

function overwrite(file: string, from: number, length: number): void {
  const handle = openSync(file, "r+")
  writeSync(handle, Buffer.alloc(length, "noise! "), 0, length, from)
  closeSync(handle)
}

for (const [what, damage] of DAMAGES)
  test(`[F-46] ${what} is left: refused, and the file is as it was`, async () => {
    const file = await filled()
    damage(file)
    const before = readFileSync(file)
    const error = await storeErrorOf(open(`sqlite:${file}`))
    expect(`${error.kind}: ${error.message}`).toContain(`corrupt: opening ${file}: it is `)
    expect(readFileSync(file).equals(before)).toBe(true)
  })

test("[F-46] a log without its file is not taken for a new beginning", async () => {
  const file = await filled()
  const store = await open(`sqlite:${file}`)
  await store.run(add, [1000, "in the log"])
  copyFileSync(`${file}-wal`, `${file}-kept`)
  await store.close()
  rmSync(file)
  copyFileSync(`${file}-kept`, `${file}-wal`)
  const error = await storeErrorOf(open(`sqlite:${file}`))
  expect(`${error.kind}: ${error.message}`).toContain(`corrupt: opening ${file}: it is gone, but its log`)
  expect(existsSync(file)).toBe(false)
})

test("[F-46] a log cut off in the midst of a commit: what was committed before is there", async () => {
  const file = await filled()
  const store = await open(`sqlite:${file}`)
  await store.run(add, [1000, "whole"])
  const whole = statSync(`${file}-wal`).size
  await store.run(add, [1001, "torn".repeat(3000)])
  const copy = freshFile()
  copyFileSync(file, copy)
  copyFileSync(`${file}-wal`, `${copy}-wal`)
  const log = openSync(`${copy}-wal`, "r+")
  ftruncateSync(log, whole + 5000)
  closeSync(log)
  const torn = await open(`sqlite:${copy}`)
  expect(await torn.all("SELECT id FROM notes WHERE id >= 1000")).toEqual([{ id: 1000 }])
})

test("[F-45] another process that writes for too long: busy, and as before when it has ended", async () => {
  const file = freshFile()
  await withNotes(`sqlite:${file}`)
  const store = await open(`sqlite:${file}`, { statementTimeoutMs: 50 })
  const other = new Sqlite(file)
  other.run("BEGIN IMMEDIATE")
  expect((await storeErrorOf(store.run(add, [2, ""]))).kind).toBe("busy")
  expect((await storeErrorOf(store.transaction(async () => 1))).kind).toBe("busy")
  expect(await store.all("SELECT id FROM notes")).toEqual([{ id: 1 }])
  other.run("ROLLBACK")
  other.close()
  expect(await store.run(add, [2, ""])).toBe(1)
})

test("[F-45] waiting for another process that writes does not hold up the thread, and works when it has ended", async () => {
  const file = freshFile()
  const store = await withNotes(`sqlite:${file}`)
  const other = new Sqlite(file)
  other.run("BEGIN IMMEDIATE")
  const written = Promise.all([store.run(add, [2, ""]), store.transaction((sql) => sql.run(add, [3, ""]))])
  const at = performance.now()
  // Had the thread been held up, it would now be seconds later, and the statement would have given up.
  await Bun.sleep(1)
  expect(performance.now() - at).toBeLessThan(1000)
  other.run("ROLLBACK")
  other.close()
  expect(await written).toEqual([1, 1])
})
