import { describe, expect, test } from "bun:test"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { MAX_CHANNELS } from "../src/admin/realtime/reading.ts"
import { COMMANDS } from "../src/cli/usage.ts"
import { loadConfig, parseConfig } from "../src/config/load.ts"
import { formatProblem } from "../src/config/problem.ts"
import type { Config } from "../src/config/schema.ts"
import { MAX_RESPONSE_FIELDS } from "../src/http1/head.ts"
import { METRICS } from "../src/observe/catalogue.ts"
import { LOG_EVENTS } from "../src/observe/log_events.ts"
import { DEFAULT_CAPACITY, MAX_IDS } from "../src/observe/series.ts"
import { FAILURES } from "../src/policies/failure.ts"
import { ORDER } from "../src/policies/order.ts"
import { MAX_CALLS } from "../src/realtime/channels/call_service.ts"
import { IDEMPOTENCY_MS, MAX_DEAD_LETTERS } from "../src/realtime/channels/channel_store.ts"
import {
  CHANNEL_NAME,
  CONNECT_WITHIN_MS,
  MAX_COMMANDS,
  MAX_PUBLICATIONS,
} from "../src/realtime/channels/protocol.ts"
import { MAX_INSTANCES, MAX_SERVICES } from "../src/upstream/memory.ts"
import { exampleConfig } from "./support/config.ts"

const root = join(import.meta.dir, "..")
const ENV = { SECRET_KEY: "0123456789abcdefghijklmnopqrstuvwxyz" }
const read = (name: string) => readFileSync(join(root, name), "utf8")
const readme = read("README.md")
const pages = ["README.md", "CHANGELOG.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)]

/** The part of the README under a heading, up to the next one of the same depth. */
function section(heading: string): string {
  const start = readme.indexOf(`\n${heading}\n`)
  if (start === -1) throw new Error(`the README has no "${heading}"`)
  const depth = /^#+ /.exec(heading)![0]
  const end = readme.indexOf(`\n${depth}`, start + 1)
  return readme.slice(start, end === -1 ? undefined : end)
}

/** Rows of the tables of a text, without their heads. */
function rows(text: string): string[][] {
  const cells = (line: string) => line.split("|").slice(1, -1)
  return text
    .split("\n")
    .filter(
      (line, i, all) =>
        line.startsWith("|") && !/^\|[-|]+\|$/.test(all[i + 1] ?? "") && !/^\|[-|]+\|$/.test(line),
    )
    .map((line) => cells(line).map((cell) => cell.trim()))
}

const fenced = (language: string) =>
  [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, "gm"))].map(
    (found) => found[1]!,
  )
const inline = [...readme.matchAll(/`([^`\n]+)`/g)].map((found) => found[1]!)
const code = [...inline, ...fenced("sh")].join("\n")

/** The anchor GitHub gives a heading. */
const anchor = (heading: string) =>
  heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, "")
    .replaceAll(" ", "-")

for (const page of pages) {
  test(`every relative link of ${page} leads somewhere`, () => {
    const links = [...read(page).matchAll(/\]\(([^)\s]+)\)/g)].map((found) => found[1]!)
    const broken = links.filter((link) => {
      if (/^https?:/.test(link)) return false
      const [file = "", fragment] = link.split("#")
      const target = file === "" ? page : join(page, "..", file)
      if (!existsSync(join(root, target))) return true
      if (fragment === undefined) return false
      const headings = [...read(target).matchAll(/^#+ (.+)$/gm)].map((found) => anchor(found[1]!))
      return !headings.includes(fragment)
    })
    expect(broken).toEqual([])
  })
}

test("the rooms of the README are those the architecture test enforces", () => {
  const list = /const ROOMS = \[([^\]]*)\]/.exec(read("test/architecture.test.ts"))![1]!
  const enforced = [...list.matchAll(/"(\w+)"/g)].map((found) => found[1]!)
  expect(enforced.length).toBeGreaterThan(10)
  expect(rows(section("## Rooms")).map(([room]) => room)).toEqual(enforced.map((room) => `\`${room}\``))
})

test("a room is called later as long as it is empty, and no longer", () => {
  const isEmpty = (room: string) => {
    const path = join(root, "src", room)
    return !existsSync(path) || readdirSync(path).length === 0
  }
  for (const [room = "", says] of rows(section("## Rooms")))
    expect(`${room} ${says === "later"}`).toBe(`${room} ${isEmpty(room.slice(1, -1))}`)
})

test("every config of the README is accepted without a warning", () => {
  const configs = fenced("yaml").filter((text) => /^routes:/m.test(text))
  expect(configs.length).toBeGreaterThan(0)
  for (const text of configs) {
    const loaded = parseConfig(text, "yaml", {})
    const findings = [...(loaded.ok ? [] : loaded.problems), ...loaded.warnings]
    expect(findings.map((each) => formatProblem(each, "README.md"))).toEqual([])
  }
})

test("every command the README names exists, and the other way round", () => {
  const named = [...code.matchAll(/(?:^|[\s/`])gatehouse ([a-z]+)/gm)].map((found) => found[1]!)
  expect(named.length).toBeGreaterThan(8)
  const known = [...Object.keys(COMMANDS), "help"]
  expect(named.filter((name) => !known.includes(name))).toEqual([])
  expect(rows(section("## Commands")).map(([call]) => /gatehouse (\w+)/.exec(call!)![1])).toEqual(known)
})

test("the arguments of every command are those it takes", () => {
  for (const [call = ""] of rows(section("## Commands"))) {
    const [, name = "", rest = ""] = /gatehouse (\w+) ?(.*)`/.exec(call)!
    if (name !== "help")
      expect(`${name} ${rest}`).toBe(`${name} ${COMMANDS[name as keyof typeof COMMANDS].arguments}`)
  }
})

test("every file a command of the README reads or runs exists or is built", () => {
  const paths = fenced("sh").flatMap((text) => [
    ...text.matchAll(/(?:^|\s)((?:\.\/|test\/|docs\/)[\w./-]+)/gm),
  ])
  expect(paths.length).toBeGreaterThan(5)
  for (const [, path = ""] of paths)
    expect(`${path} ${path === "./dist/gatehouse" || existsSync(join(root, path))}`).toBe(`${path} true`)
})

test("every metric of the README is exposed", () => {
  const named = [...new Set(readme.match(/\bgatehouse_[a-z_]+/g))]
  expect(named.length).toBeGreaterThan(5)
  const known = METRICS.map((metric) => metric.name)
  expect(named.filter((name) => !known.includes(name))).toEqual([])
})

test("every event of the reference is logged somewhere, at the level it says", () => {
  const source = [...new Bun.Glob("src/**/*.ts").scanSync(root)].map(read).join("\n")
  const wrong = LOG_EVENTS.filter(([event, level]) => {
    // Written past the log, which would redact it.
    if (event === "admin.token") return !source.includes(`level: "${level}", event, token`)
    return !new RegExp(`\\.${level}\\([^)]*"${event.replace(".", "\\.")}"`).test(source)
  })
  expect(wrong).toEqual([])
})

test("every failure code of the README is in the catalogue, with its status", () => {
  const named = inline.filter((text) => /^[A-Z]+_?[A-Z]+$/.test(text) && !/^SIG(HUP|TERM)$/.test(text))
  expect(named.length).toBeGreaterThan(1)
  expect(named.filter((name) => !Object.hasOwn(FAILURES, name))).toEqual([])
  for (const [, status, name = ""] of readme.matchAll(/(\d{3}) `([A-Z_]+)`/g))
    expect(`${name} ${FAILURES[name as keyof typeof FAILURES].status}`).toBe(`${name} ${status}`)
})

test("the example of an error is one the gateway makes", () => {
  const [example = ""] = fenced("json")
  const { error, request_id } = JSON.parse(example)
  expect(Object.hasOwn(FAILURES, error.code)).toBe(true)
  expect(error.message).toBe(FAILURES[error.code as keyof typeof FAILURES].message)
  expect(request_id).toMatch(/^[0-9a-f-]{36}$/)
})

test("the policies of the README stand in running order", () => {
  const sentence = /The policies, in running order: ([^.]*)\./.exec(readme)![1]!
  expect([...sentence.matchAll(/`(\w+)`/g)].map((found) => found[1]!)).toEqual(
    ORDER.map((policy) => policy.name),
  )
})

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  s: 1000,
  min: 60_000,
  "B/s": 1,
  KB: 1024,
  MB: 1024 ** 2,
  "%": 1,
}

/** "1,024", "30 s", "10 MB" as config holds it. */
function amount(text: string): number {
  const found = /^([\d,]+) ?(s|min|B\/s|KB|MB|%)?$/.exec(text)
  if (found === null) throw new Error(`not an amount: ${text}`)
  return Number(found[1]!.replaceAll(",", "")) * UNITS[found[2] ?? ""]!
}

function realtimeDefaults(): Config {
  const file = {
    services: { hook: { instances: ["http://127.0.0.1:1"] } },
    realtime: { anonymous: true, namespaces: { chat: { forward: { service: "hook", path: "/" } } } },
  }
  const loaded = parseConfig(JSON.stringify(file), "json", {})
  if (!loaded.ok) throw new Error(loaded.problems.map((each) => formatProblem(each, "")).join("\n"))
  return loaded.config
}

describe("the table of bounds", () => {
  const bounds = rows(section("## Limits and bounds"))
  const config = exampleConfig({
    services: { service: { instances: ["http://127.0.0.1:1"] } },
    defaults: { validate: {}, body_limit: {} },
  })
  const { realtime } = realtimeDefaults()
  const places = {
    server: config.server,
    service: config.services.service,
    realtime,
    namespace: realtime!.namespaces.chat,
    ...config.defaults,
  }

  test("has the defaults of the schema", () => {
    const settable = bounds.filter(([, , setBy]) => setBy !== "fixed")
    expect(settable.length).toBeGreaterThan(15)
    for (const [what, text = "", setBy = ""] of settable) {
      const path = /^`([^`]+)`/.exec(setBy)![1]!.split(".")
      // biome-ignore lint/suspicious/noExplicitAny: a path into the config, which the test is about
      const value = path.reduce((at: any, key) => at?.[key], places)
      // The budget is a share, where the other percentages are numbers.
      const written = typeof value === "string" ? text : amount(text)
      const expected = path.at(-1) === "budget" ? amount(text) / 100 : written
      expect(`${what}: ${value}`).toBe(`${what}: ${expected}`)
    }
  })

  test("has the fixed bounds of the code", () => {
    const of = (what: string) => bounds.find(([name]) => name === what)![1]!
    expect(amount(of("metric series, a worker"))).toBe((DEFAULT_CAPACITY * 7) / 8)
    expect(of("names of routes, services, instances in labels")).toBe(`${MAX_IDS.toLocaleString("en")} each`)
    expect(of("services, instances")).toBe(
      `${MAX_SERVICES.toLocaleString("en")} and ${MAX_INSTANCES.toLocaleString("en")}`,
    )
    expect(readme).toContain(`also beyond ${MAX_RESPONSE_FIELDS} fields`)
    expect(amount(of("time to say who connects"))).toBe(CONNECT_WITHIN_MS)
    expect(amount(of("commands in a frame"))).toBe(MAX_COMMANDS)
    expect(amount(of("publications in the reply to `subscribe`"))).toBe(MAX_PUBLICATIONS)
    const [, longest = ""] = /^([0-9]+) characters$/.exec(of("name of a channel"))!
    expect(CHANNEL_NAME.test("x".repeat(Number(longest)))).toBe(true)
    expect(CHANNEL_NAME.test("x".repeat(Number(longest) + 1))).toBe(false)
    expect(amount(of("channels of an event stream or a poll"))).toBe(MAX_CHANNELS)
    expect(amount(of("dead letters of a channel"))).toBe(MAX_DEAD_LETTERS)
    expect(amount(of("keys of `Idempotency-Key` on channels"))).toBe(IDEMPOTENCY_MS)
    expect(amount(of("calls to services for channels, a worker"))).toBe(MAX_CALLS)
  })
})

test("every example the README links is one that loads", () => {
  const linked = [...readme.matchAll(/\]\((examples\/[\w-]+\.yaml)\)/g)].map((found) => found[1]!)
  expect(linked.length).toBeGreaterThan(3)
  for (const name of linked) expect(`${name} ${loadConfig(join(root, name), ENV).ok}`).toBe(`${name} true`)
})

test("every fault of docs/faults.md names tests that are there and carry its number", () => {
  const faults = rows(read("docs/faults.md")).filter(([row]) => /^F-\d/.test(row ?? ""))
  expect(faults.length).toBeGreaterThan(20)
  const missing = faults.flatMap((cells) => {
    const files = cells
      .at(-1)!
      .split(", ")
      .map((name) => `test/${name}.test.ts`)
    const absent = files.filter((file) => !existsSync(join(root, file)))
    const text = files
      .filter((file) => !absent.includes(file))
      .map(read)
      .join("\n")
    // In the name of a test, or in a table whose rows become tests.
    const unproved = cells[0]!.split(", ").filter((id) => !new RegExp(`["[]${id}["\\]]`).test(text))
    return [...absent, ...unproved.map((id) => `${id} in ${files.join(", ")}`)]
  })
  expect(missing).toEqual([])
})
