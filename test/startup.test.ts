import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { dirname, join, normalize } from "node:path"

const root = join(import.meta.dir, "..")
const transpiler = new Bun.Transpiler({ loader: "ts" })

/** What is loaded before the first line of a file runs, but for the project's own code: packages and modules of the runtime. */
function loadedBy(entry: string): string[] {
  const seen = new Set([entry])
  const foreign = new Set<string>()
  for (const file of seen) {
    if (!file.endsWith(".ts")) continue
    for (const { kind, path } of transpiler.scanImports(readFileSync(join(root, file), "utf8"))) {
      if (kind !== "import-statement") continue
      if (path.startsWith(".")) seen.add(normalize(join(dirname(file), path)))
      else foreign.add(path)
    }
  }
  return [...foreign].sort()
}

test("a data plane starts with no package but the router's, and with no module that brings node's streams", () => {
  expect(loadedBy("src/cli/worker.ts")).toEqual(["bun:jsc", "memoirist", "node:os"])
})

test("a control plane starts with no package, and with no module that brings node's streams", () => {
  expect(loadedBy("src/cli/serve.ts")).toEqual(["bun:jsc", "node:fs", "node:os", "node:path"])
})

test("the program starts with nothing but what its commands are", () => {
  expect(loadedBy("src/main.ts")).toEqual([])
})
