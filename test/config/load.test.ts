import { afterAll, describe, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Settings } from "typebox/system"
import { type Loaded, loadConfig, parseConfig } from "../../src/config/load.ts"
import { effectivePolicies } from "../../src/config/policies.ts"
import { formatProblem } from "../../src/config/problem.ts"

const directory = mkdtempSync(join(tmpdir(), "gatehouse-load-"))
afterAll(() => rmSync(directory, { recursive: true }))

const yaml = (text: string, env: Record<string, string> = {}) => parseConfig(text, "yaml", env)

function config(loaded: Loaded) {
  if (!loaded.ok) throw new Error(loaded.problems.map((each) => formatProblem(each, "config")).join("\n"))
  return loaded.config
}

function problems(loaded: Loaded): string[] {
  return loaded.ok ? [] : loaded.problems.map((each) => `${each.path}: ${each.message}`)
}

const SERVICE = "services: { a: { instances: [http://127.0.0.1:8001] } }\n"

describe("formats", () => {
  const json =
    '{"services":{"a":{"instances":["http://127.0.0.1:8001"],"timeout":"5s"}},"routes":[{"path":"/a/*","service":"a"}]}'
  const toml =
    '[services.a]\ninstances = ["http://127.0.0.1:8001"]\ntimeout = "5s"\n\n[[routes]]\npath = "/a/*"\nservice = "a"\n'
  const plain =
    "services:\n  a: { instances: [http://127.0.0.1:8001], timeout: 5s }\nroutes:\n  - { path: /a/*, service: a }\n"

  test("YAML, JSON and TOML that say the same make the same config", () => {
    const wanted = config(parseConfig(plain, "yaml", {}))
    expect(config(parseConfig(json, "json", {}))).toEqual(wanted)
    expect(config(parseConfig(toml, "toml", {}))).toEqual(wanted)
    expect(wanted.services.a?.timeout).toBe(5000)
  })

  test("a file without extension is read as what it looks like", () => {
    for (const [name, text] of Object.entries({ y: plain, j: json, t: toml })) {
      writeFileSync(join(directory, name), text)
      expect(config(loadConfig(join(directory, name), {})).routes).toHaveLength(1)
    }
  })

  test("an empty file is a config of defaults, with a warning that nothing is routed", () => {
    const loaded = yaml("")
    expect(config(loaded).server.port).toBe(8080)
    expect(loaded.warnings.map((each) => each.message)).toEqual([
      "no routes: every request is answered with 404",
    ])
  })

  test("JSON with a trailing comma is refused with its line", () => {
    const loaded = parseConfig('{\n  "services": {},\n  "routes" [\n}', "json", {})
    expect(loaded.ok).toBe(false)
    expect(loaded.ok === false && loaded.problems[0]?.line).toBeGreaterThan(1)
  })
})

describe("decoding", () => {
  test("durations become milliseconds, sizes bytes, and defaults are filled in", () => {
    const { server, services } = config(
      yaml(`server: { max_body: 64KB, body_timeout: 250ms }\n${SERVICE}routes: [{ path: /, service: a }]`),
    )
    expect([server.max_body, server.body_timeout, server.keep_alive_timeout]).toEqual([65_536, 250, 75_000])
    expect(services.a).toMatchObject({ timeout: 30_000, retry: { attempts: 2, backoff: 25 } })
  })

  test("a config is frozen to its depths", () => {
    const decoded = config(yaml(`${SERVICE}routes: [{ path: /, service: a }]`))
    expect(() => Object.assign(decoded.services.a!.retry, { attempts: 9 })).toThrow(TypeError)
    expect(Object.isFrozen(decoded.routes[0]!.methods)).toBe(true)
  })

  test("file names start from the directory of the config", () => {
    mkdirSync(join(directory, "sub"))
    writeFileSync(join(directory, "sub", "ca.yaml"), "server: { tls: { cert: c.pem, key: k.pem } }")
    const loaded = loadConfig(join(directory, "sub", "ca.yaml"), {})
    expect(problems(loaded)).toContain("server.tls.cert: there is no such file")
    expect(loaded.ok === false && loaded.problems[0]?.value).toBe(
      JSON.stringify(join(directory, "sub", "c.pem")),
    )
  })

  test("anchors and merge keys share settings", () => {
    const { services } = config(
      yaml(`services:
  a: { instances: [http://a], breaker: &b { failure_threshold: 7 } }
  b: { instances: [http://b], breaker: { <<: *b, min_throughput: 9 } }
routes: [{ path: /a, service: a }, { path: /b, service: b }]`),
    )
    expect(services.b!.breaker).toMatchObject({ failure_threshold: 7, min_throughput: 9 })
  })

  test("a route's own policy options replace the inherited ones as a whole, and without drops them", () => {
    const decoded = config(
      yaml(`${SERVICE}defaults:
  edit_headers: { request: { set: { x-a: "1", x-b: "2" } } }
routes:
  - { path: /own, service: a, edit_headers: { request: { set: { x-c: "3" } } } }
  - { path: /inherited, service: a }
  - { path: /none, service: a, without: [edit_headers] }`),
    )
    const sets = decoded.routes.map((route) =>
      effectivePolicies(decoded, route).map(({ options, inherited }) => [
        (options as { request: { set: unknown } }).request.set,
        inherited,
      ]),
    )
    expect(sets).toEqual([[[{ "x-c": "3" }, false]], [[{ "x-a": "1", "x-b": "2" }, true]], []])
  })

  test("policies come in the order of the list, whatever the order in the file", () => {
    const decoded = config(
      yaml(`${SERVICE}routes: [{ path: /, service: a, edit_headers: {}, access_log: {}, request_id: {} }]`),
    )
    const names = effectivePolicies(decoded, decoded.routes[0]!).map(({ policy }) => policy.name)
    expect(names).toEqual(["request_id", "access_log", "edit_headers"])
  })
})

describe("problems", () => {
  const text = `server:
  port: eighty
  prot: 80
services:
  a:
    instances: [http://127.0.0.1:8001]
    timeout: 3 minutes
  b:
    instances: [http://127.0.0.1:8002]
routes:
  - path: /x
    service: c
  - path: /y
    methods: [PTACH]
    service: b`

  test("[F-47] every error is reported at once, each with its place, line and what would do", () => {
    const loaded = yaml(text)
    expect(loaded.ok === false && loaded.problems.map((each) => formatProblem(each, "f"))).toEqual([
      'f:2:3: server.port: expected a whole number from 0 to 65535 (found "eighty")',
      'f:3:3: server.prot: unknown key; did you mean "port"? (found 80)',
      'f:7:5: services.a.timeout: expected a duration such as 250ms, 30s or 5m (found "3 minutes")',
      'f:12:5: routes[0].service: unknown service "c"',
      'f:14:15: routes[1].methods[0]: expected one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS; did you mean "PATCH"? (found "PTACH")',
    ])
  })

  test("more faults than the schema library reports by default are all there", () => {
    const before = Settings.Get().maxErrors
    const routes = Array.from({ length: 30 }, (_, i) => `  - { path: x${i} }`).join("\n")
    expect(problems(yaml(`routes:\n${routes}`)).filter((each) => each.includes(".path: "))).toHaveLength(30)
    expect(Settings.Get().maxErrors).toBe(before)
  })

  test("a missing key says what it is for", () => {
    expect(problems(yaml("routes: [{ respond: {} }]"))).toEqual([
      "routes[0].path: required but missing (Literal segments, `:name` or `{name}` for one segment, `*` at the end for the rest (also none))",
    ])
  })

  test("a mapping in a union is explained by the variant it resembles", () => {
    expect(problems(yaml("services: { a: { instances: [{ url: http://a, wieght: 2 }] } }"))).toEqual([
      'services.a.instances[0].wieght: unknown key; did you mean "weight"?',
    ])
  })

  test("an empty value where a mapping belongs is explained", () => {
    expect(problems(yaml(`${SERVICE}routes: [{ path: /, service: a, request_id: }]`))).toEqual([
      "routes[0].request_id: expected a mapping, found nothing; write {} for the defaults",
    ])
  })

  test("a service name that breaks the rule is a problem", () => {
    expect(problems(yaml("services: { My_Service: { instances: [http://a] } }"))[0]).toContain(
      "starts with a letter; my_service would do",
    )
  })

  test("a key written twice is a problem at its second place", () => {
    const loaded = yaml("server:\n  port: 1\n  host: a\n  port: 2")
    expect(loaded.ok === false && loaded.problems).toMatchObject([
      { path: "server.port", message: "the key is written twice", line: 4, column: 3 },
    ])
  })

  test("a file that is not there, a directory and bytes that are no text are refused by name", () => {
    writeFileSync(join(directory, "bytes.yaml"), Buffer.from([0x61, 0x3a, 0x20, 0xff, 0xfe]))
    expect(problems(loadConfig(join(directory, "none.yaml"), {}))).toEqual([
      ": cannot be read: there is no such file",
    ])
    expect(problems(loadConfig(directory, {}))).toEqual([": is a directory, not a file"])
    expect(problems(loadConfig(join(directory, "bytes.yaml"), {}))).toEqual([": not valid UTF-8 text"])
  })
})
