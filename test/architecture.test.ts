import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { dirname, join, normalize, relative } from "node:path"
import { Glob } from "bun"

/** From top to bottom; a room imports only from itself and from rooms below it. README shows the same list. */
const ROOMS = [
  "cli",
  "admin",
  "edge",
  "gateway",
  "config",
  "realtime",
  "policies",
  "upstream",
  "safety",
  "identity",
  "events",
  "store",
  "observe",
  "http1",
  "lib",
  "client",
]
const MAX_LINES = 350

const root = join(import.meta.dir, "..")
const files = [...new Glob("src/**/*.ts").scanSync({ cwd: root })].sort()
const IMPORT = /^\s*(?:import|export)\s(?:[^"']*?\sfrom\s+)?["'](\.[^"']+)["']/gm

/** Paths of the modules a file imports, types included, relative to the repository. */
function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), "utf8")
  return [...text.matchAll(IMPORT)].map((found) => normalize(join(dirname(file), found[1]!)))
}

function roomOf(file: string): string {
  const [, room = ""] = file.split("/")
  return room.endsWith(".ts") ? "cli" : room
}

test("every file stands in a room of the list", () => {
  expect(files.length).toBeGreaterThan(50)
  expect(files.filter((file) => !ROOMS.includes(roomOf(file)))).toEqual([])
})

test("a room imports only from rooms below it", () => {
  const wrong = files.flatMap((file) =>
    importsOf(file)
      .filter((to) => to.startsWith("src/") && ROOMS.indexOf(roomOf(to)) < ROOMS.indexOf(roomOf(file)))
      .map((to) => `${file} imports ${to}`),
  )
  expect(wrong).toEqual([])
})

test("the client imports nothing but itself: it is a package without dependencies", () => {
  const foreign = files
    .filter((file) => roomOf(file) === "client")
    .flatMap((file) => {
      const text = readFileSync(join(root, file), "utf8")
      return [...text.matchAll(/\b(?:from|import)\s*\(?\s*["']([^."'][^"']*)["']/g)].map(
        (found) => `${file} imports ${found[1]}`,
      )
    })
  expect(foreign).toEqual([])
})

test("imports name the defining file with its extension", () => {
  const wrong = files.flatMap((file) =>
    importsOf(file)
      .filter((to) => !/\.(ts|json|js|css|html|png)$/.test(to))
      .map((to) => `${file} imports ${to}`),
  )
  expect(wrong).toEqual([])
})

test("no cycle among files", () => {
  const graph = new Map(files.map((file) => [file, importsOf(file).filter((to) => files.includes(to))]))
  const done = new Set<string>()
  const cycles: string[] = []
  const walk = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) {
      cycles.push([...path.slice(path.indexOf(file)), file].join(" -> "))
      return
    }
    if (done.has(file)) return
    for (const to of graph.get(file) ?? []) walk(to, [...path, file])
    done.add(file)
  }
  for (const file of files) walk(file, [])
  expect(cycles).toEqual([])
})

test("no policy, target or balancer sees a Request, Response or Headers", () => {
  const below = files.filter((file) => ["gateway", "policies", "upstream", "http1"].includes(roomOf(file)))
  const wrong = below.filter((file) => {
    const code = readFileSync(join(root, file), "utf8")
      .replace(/\/\*[\s\S]*?\*\//g, "")
      .replace(/\/\/.*$/gm, "")
      .replace(/"(?:[^"\\\n]|\\.)*"|`[^`]*`/g, '""')
    return /\b(?:new (?:Request|Response|Headers)\b|: (?:Request|Response|Headers)\b)/.test(code)
  })
  expect(wrong).toEqual([])
})

test("no file has grown into two rooms", () => {
  const long = files
    .map((file) => ({ file, lines: readFileSync(join(root, file), "utf8").split("\n").length }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ file, lines }) => `${relative(root, join(root, file))}: ${lines} lines`)
  expect(long).toEqual([])
})

test("src/ is a tree of rooms without barrels or managers", () => {
  expect(files.filter((file) => /(?:index|utils?|helpers?|manager)\.ts$/i.test(file))).toEqual([])
})
