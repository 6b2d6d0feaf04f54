import { afterAll, expect, test } from "bun:test"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { runCommand } from "../../src/cli/command.ts"
import { open } from "../support/store.ts"

const folder = mkdtempSync(join(tmpdir(), "gatehouse-backup-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let configs = 0

async function gatehouse(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const written = { out: "", err: "" }
  const code = await runCommand(args, {
    out: (text) => void (written.out += text),
    err: (text) => void (written.err += text),
  })
  return { code, ...written }
}

function configWith(store: string): string {
  const file = join(folder, `${++configs}.yaml`)
  writeFileSync(
    file,
    `${store}\nservices: { s: { instances: ["http://127.0.0.1:1"] } }\nroutes: [{ path: /, service: s }]\n`,
  )
  return file
}

test("backup writes a file, once; restore brings it back", async () => {
  const file = join(folder, "store.db")
  const config = configWith(`store: sqlite:${file}`)
  const store = await open(`sqlite:${file}`)
  await store.run("CREATE TABLE notes (a TEXT)")
  const to = join(folder, "to.db")
  const done = await gatehouse("backup", to, "-c", config)
  expect(done).toEqual({ code: 0, out: expect.stringMatching(/to\.db: ok \(\d+ bytes\)\n$/), err: "" })
  const again = await gatehouse("backup", to, "-c", config)
  expect(again).toEqual({
    code: 1,
    out: "",
    err: expect.stringContaining("exists already; --force replaces it"),
  })
  expect((await gatehouse("backup", to, "-c", config, "--force")).code).toBe(0)
  await store.run("DROP TABLE notes")
  await store.close()
  const restored = await gatehouse("restore", to, "-c", config)
  expect(restored.out).toBe(`${file}: ok; what was there is now ${file}.before-restore\n`)
  expect(restored.code).toBe(0)
  const reopened = await open(`sqlite:${file}`)
  expect(await reopened.all("SELECT a FROM notes")).toEqual([])
  await reopened.close()
})

test("what has no file says what to do, and exits with 1", async () => {
  for (const [store, says] of [
    ["store: postgres://gate:hunter2@127.0.0.1/gate", "use pg_dump and pg_restore"],
    ["store: 'sqlite::memory:'", "the store is in memory"],
    ["", "it names no store"],
  ] as const)
    for (const command of ["backup", "restore"]) {
      const { code, err } = await gatehouse(command, join(folder, "none.db"), "-c", configWith(store))
      expect(code).toBe(1)
      expect(err).toContain(says)
      expect(err).not.toContain("hunter2")
    }
  expect(existsSync(join(folder, "none.db"))).toBe(false)
})

test("a config that is refused, a word too few and a backup that is missing are told", async () => {
  const config = configWith(`store: sqlite:${folder}/other.db`)
  expect((await gatehouse("backup")).err).toContain(
    "gatehouse backup: missing FILE\nusage: gatehouse backup FILE",
  )
  expect((await gatehouse("restore", "x", "--force")).err).toContain("unknown flag --force")
  expect((await gatehouse("backup", "x", "-c", configWith("colour: red"))).err).toContain("colour")
  const missing = await gatehouse("restore", `${folder}/gone`, "-c", config)
  expect(missing).toEqual({ code: 1, out: "", err: expect.stringContaining(`there is no ${folder}/gone`) })
})
