import { afterAll, describe, expect, test } from "bun:test"
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { loadConfig, parseConfig } from "../../src/config/load.ts"

const directory = mkdtempSync(join(tmpdir(), "gatehouse-hostile-"))
afterAll(() => rmSync(directory, { recursive: true }))

function refusal(text: string, format: "yaml" | "json" | "toml" = "yaml"): string {
  const started = performance.now()
  const loaded = parseConfig(text, format, {})
  expect(performance.now() - started).toBeLessThan(5000)
  if (loaded.ok) throw new Error("the config was taken")
  return loaded.problems.map((each) => `${each.path}: ${each.message}`).join("\n")
}

describe("[F-26] hostile documents", () => {
  test("__proto__ keys are refused and change no prototype", () => {
    const texts = [
      ["__proto__: { polluted: 1 }", "yaml"],
      ['services: { a: { "__proto__": { polluted: 1 }, instances: [http://a] } }', "yaml"],
      ['{"server": {"__proto__": {"polluted": 1}}}', "json"],
      ["[server.__proto__]\npolluted = 1", "toml"],
    ] as const
    for (const [text, format] of texts) expect(refusal(text, format)).toContain("this key is not allowed")
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  test("keys of Object.prototype are unknown keys, and no services", () => {
    expect(refusal("server: { constructor: 1, toString: 2 }")).toBe(
      "server.constructor: unknown key\nserver.toString: unknown key",
    )
    expect(
      refusal("services: { a: { instances: [http://a] } }\nroutes: [{ path: /, service: constructor }]"),
    ).toContain('unknown service "constructor"')
  })

  test("10,000 levels of nesting are refused in every notation", () => {
    const many = 10_000
    expect(refusal(`a: ${"[".repeat(many)}${"]".repeat(many)}`)).toContain("64 levels")
    expect(refusal(`a: ${"{a: ".repeat(many)}`)).toContain("64 levels")
    expect(refusal("- ".repeat(many))).toContain("64 levels")
    expect(refusal(`{"a": ${"[".repeat(many)}${"]".repeat(many)}}`, "json")).toContain("64 levels")
    expect(refusal(`a = ${"[".repeat(many)}${"]".repeat(many)}`, "toml")).toContain("nested")
  })

  test("aliases that multiply (billion laughs) are refused", () => {
    const lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    for (let i = 1; i < 9; i++) {
      const [name, last] = ["abcdefghi"[i], "abcdefghi"[i - 1]]
      lines.push(`${name}: &${name} [${Array(9).fill(`*${last}`).join(",")}]`)
    }
    expect(refusal(lines.join("\n"))).toContain("aliases stand for more than")
  })

  test("an alias of itself is refused", () => {
    expect(refusal("a: &a [*a]")).toContain("64 levels")
  })

  test("50,000 unknown keys are refused in time linear to their number", () => {
    expect(refusal(Array.from({ length: 50_000 }, (_, i) => `k${i}: 1`).join("\n"))).toContain("unknown key")
  })

  test("huge numbers are out of range, not wrapped", () => {
    expect(refusal("server: { port: 1e308 }")).toContain("server.port: expected a whole number")
    expect(refusal("server: { max_body: .inf, body_timeout: -1 }")).toBe(
      "server.max_body: expected a size such as 64KB or 10MB\nserver.body_timeout: expected a duration such as 250ms, 30s or 5m",
    )
  })

  test("several documents, keys that are lists, unknown tags and NUL are refused", () => {
    expect(refusal("a: 1\n---\nb: 2")).toContain("more than one YAML document")
    expect(refusal("? [1, 2]\n: 3")).toContain("a key must be plain text")
    expect(refusal("server: !!js/function 'x'")).toContain("not valid YAML")
    expect(refusal("just text")).toContain("the file must hold a mapping")
    expect(refusal("\uE000\uE100\uE100\uE001: 1")).toContain("U+E000")
    expect(refusal("server: { host: \0 }")).not.toBe("")
  })
})

test("a file beyond 8 MB is refused before it is read", () => {
  const path = join(directory, "huge.yaml")
  const file = openSync(path, "w")
  ftruncateSync(file, 1024 ** 4)
  closeSync(file)
  const loaded = loadConfig(path, {})
  expect(loaded.ok === false && loaded.problems[0]!.message).toBe("larger than 8 MB")
})

test("a device that never ends is refused", () => {
  const loaded = loadConfig("/dev/zero", {})
  expect(loaded.ok === false && loaded.problems[0]!.message).toBe("is not a regular file")
})
