import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { runCommand } from "../../src/cli/command.ts"
import { VERSION } from "../../src/lib/version.ts"

const root = join(import.meta.dir, "../..")
let directory: string

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "gatehouse-cli-"))
})
afterAll(() => rmSync(directory, { recursive: true }))

const SECRET_KEY = { SECRET_KEY: "0123456789abcdefghijklmnopqrstuvwxyz" }

interface Result {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** The command in this process; `env` is all of its environment. */
async function gatehouse(args: string[], env: Record<string, string> = {}, cwd = directory): Promise<Result> {
  const before = { env: process.env, cwd: process.cwd() }
  let out = ""
  let err = ""
  process.env = env as NodeJS.ProcessEnv
  process.chdir(cwd)
  try {
    const code = await runCommand(args, {
      out: (text) => {
        out += text
      },
      err: (text) => {
        err += text
      },
    })
    return { code, out, err }
  } finally {
    process.env = before.env
    process.chdir(before.cwd)
  }
}

/** The same as a process of its own. */
function spawn(...args: string[]): Result {
  const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, join(root, "src/main.ts"), ...args], {
    cwd: directory,
    env: { PATH: process.env.PATH },
    stdin: "ignore",
  })
  return { code: exitCode, out: stdout.toString(), err: stderr.toString() }
}

function file(name: string, text: string): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}

describe("words and flags", () => {
  test("version prints the version of package.json", async () => {
    for (const word of ["version", "--version"]) {
      expect(await gatehouse([word])).toEqual({ code: 0, out: `gatehouse ${VERSION}\n`, err: "" })
    }
  })

  test("no command shows the list of commands", async () => {
    const { code, out } = await gatehouse([])
    expect(code).toBe(0)
    for (const command of ["serve", "check", "explain", "demo", "schema", "version"])
      expect(out).toContain(`\n  ${command}`)
  })

  test("--help after a command tells about that command", async () => {
    const { code, out } = await gatehouse(["explain", "--help"])
    expect([code, out.split("\n")[0]]).toEqual([
      0,
      "usage: gatehouse explain [-c FILE] METHOD URL [-H 'Name: value']",
    ])
    expect((await gatehouse(["help", "explain"])).out).toBe(out)
  })

  test("an unknown command exits 1 with a suggestion", async () => {
    const { code, err } = await gatehouse(["chekc"])
    expect([code, err.split("\n")[0]]).toEqual([
      1,
      'gatehouse: unknown command "chekc"; did you mean "check"?',
    ])
  })

  test("an unknown flag exits 1 with a suggestion and the usage", async () => {
    expect(await gatehouse(["check", "--confg", "x"])).toEqual({
      code: 1,
      out: "",
      err: 'gatehouse check: unknown flag --confg; did you mean "--config"?\nusage: gatehouse check [-c FILE]\n',
    })
  })

  test("missing and superfluous words exit 1", async () => {
    expect((await gatehouse(["explain", "GET"])).err).toContain("missing URL")
    expect((await gatehouse(["check", "a.yaml"])).err).toContain('unexpected argument "a.yaml"')
    expect((await gatehouse(["version", "x"])).code).toBe(1)
  })
})

test("a command is a process with an exit code and two outputs", () => {
  expect(spawn("--version")).toEqual({ code: 0, out: `gatehouse ${VERSION}\n`, err: "" })
  expect(spawn("check", "-c", "none.yaml")).toMatchObject({ code: 1, out: "" })
})

describe("check", () => {
  test("a good file exits 0", async () => {
    const { code, out } = await gatehouse(["check", "-c", join(root, "examples/isaas.yaml")], SECRET_KEY)
    expect([code, out]).toEqual([0, `${join(root, "examples/isaas.yaml")}: ok (8 routes, 4 services)\n`])
  })

  test("[F-47] a bad file exits 1 with every error and its line on standard error", async () => {
    const path = file("bad.yaml", "server:\n  port: x\nroutes:\n  - path: /\n    service: a\n")
    expect(await gatehouse(["check", "-c", path])).toEqual({
      code: 1,
      out: "",
      err: `error: ${path}:2:3: server.port: expected a whole number from 0 to 65535 (found "x")
error: ${path}:5:5: routes[0].service: unknown service "a"; there are no services
${path}: 2 errors
`,
    })
  })

  test("[F-25] a regular expression that can take exponential time is refused", async () => {
    const path = file(
      "redos.yaml",
      `routes:
  - path: /
    respond: {}
    validate: { query: { type: object, properties: { q: { type: string, pattern: "^(a+)+$" } } } }
`,
    )
    const { code, err } = await gatehouse(["check", "-c", path])
    expect(code).toBe(1)
    expect(err).toContain("routes[0].validate")
  })

  test("a file that is not there exits 1", async () => {
    expect(await gatehouse(["check", "-c", "none.yaml"])).toMatchObject({
      code: 1,
      err: "error: none.yaml: cannot be read: there is no such file\nnone.yaml: 1 error\n",
    })
  })

  test("[I-env] without a file the environment is checked", async () => {
    const env = { CONTEXT_SERVICE_URL: "http://127.0.0.1:1", REDIS_PORT: "6379" }
    expect(await gatehouse(["check"], env)).toEqual({
      code: 0,
      out: "environment: ok (1 route, 1 service)\n",
      err: "warning: environment: REDIS_PORT: has no effect without REDIS_HOST\n",
    })
  })

  test("the file is -c, else GATEHOUSE_CONFIG, else gatehouse.yaml here", async () => {
    const here = mkdtempSync(join(directory, "here-"))
    writeFileSync(join(here, "gatehouse.yaml"), "routes: [{ path: /, respond: {} }]")
    const other = file("other.yaml", "routes: [{ path: /, respond: {} }, { path: /b, respond: {} }]")
    expect((await gatehouse(["check"], {}, here)).out).toBe("gatehouse.yaml: ok (1 route, 0 services)\n")
    expect((await gatehouse(["check"], { GATEHOUSE_CONFIG: other }, here)).out).toBe(
      `${other}: ok (2 routes, 0 services)\n`,
    )
    expect(
      (await gatehouse(["check", "-c", "gatehouse.yaml"], { GATEHOUSE_CONFIG: other }, here)).out,
    ).toContain("1 route,")
  })
})

describe("explain", () => {
  const explain = (...args: string[]) =>
    gatehouse(["explain", "-c", join(root, "examples/isaas.yaml"), ...args], SECRET_KEY)

  test("names the route, its policies in running order, and the service with its breaker", async () => {
    const { code, out } = await explain("post", "https://api.example.com/api/v1/context/u1?x=1")
    expect(code).toBe(0)
    expect(out).toContain(
      "POST api.example.com/api/v1/context/u1\n  route     routes[1] POST /api/v1/context/*\n",
    )
    expect(out).toContain("$1 * = u1")
    expect(out.match(/\d\. (\w+)/g)).toEqual([
      "1. request_id",
      "2. trace",
      "3. access_log",
      "4. compress",
      "5. auth",
      "6. rate_limit",
      "7. require_headers",
    ])
    expect(out).toContain(
      "caller    needs a caller who proved its identity\n            with the scope write\n",
    )
    expect(out).toContain("forwarded as headers\n")
    expect(out).toContain("breaker { failure_threshold: 5, recovery_timeout: 1m, half_open_timeout: 30s,")
    expect(out).toContain("sent as   POST /api/v1/context/u1\n")
  })

  test("the canonical path decides, not the one that was written", async () => {
    expect((await explain("GET", "/api/v1/context/../intent/%61")).out).toContain("  route     routes[2] ")
    expect((await explain("GET", "/api/v1/context/a%2Fb")).out).toContain("400 INVALID_PATH")
  })

  test("says why nothing matches: 404 and 405", async () => {
    expect((await explain("GET", "/nowhere")).out).toContain("no route matches: 404 NOT_FOUND")
    expect((await explain("DELETE", "/api/v1/context/x")).out).toContain(
      "405 METHOD_NOT_ALLOWED, Allow: GET, HEAD, POST, OPTIONS",
    )
  })

  test("a path the gateway answers itself goes before a wildcard of the config", async () => {
    const path = file("all.yaml", "routes: [{ path: /*, respond: {} }]")
    expect((await gatehouse(["explain", "-c", path, "GET", "/health"])).out).toContain(
      "answered by the gateway itself: /health",
    )
    expect((await gatehouse(["explain", "-c", path, "GET", "/healthy"])).out).toContain("routes[0] /*")
  })

  test("a route that misses by host or header is named, and a header lets it match", async () => {
    const path = file(
      "beta.yaml",
      "routes: [{ path: /x, headers: { x-beta: '1' }, respond: { status: 204 } }]",
    )
    expect((await gatehouse(["explain", "-c", path, "GET", "/x"])).out).toContain(
      "routes[0] /x would, with header x-beta: 1",
    )
    expect((await gatehouse(["explain", "-c", path, "GET", "/x", "-H", "X-Beta: 1"])).out).toContain(
      "answer    204",
    )
  })

  test("a header that is a secret is not printed", async () => {
    const path = file(
      "secret.yaml",
      "routes: [{ path: /x, respond: {}, edit_headers: { request: { set: { authorization: Bearer hunter2 } } } }]",
    )
    const { code, out } = await gatehouse(["explain", "-c", path, "GET", "/x"])
    expect([code, out.includes("hunter2"), out.includes("authorization: ***")]).toEqual([0, false, true])
  })

  test("a URL or host that makes no sense exits 1", async () => {
    expect((await explain("GET", "nowhere")).code).toBe(1)
    expect((await explain("GET", "/x", "-H", "Host: a b")).code).toBe(1)
  })
})

describe("schema", () => {
  test("prints the reference page with --markdown", async () => {
    expect((await gatehouse(["schema", "--markdown"])).out).toStartWith("# Configuration reference")
    expect((await gatehouse(["schema", "x"])).code).toBe(1)
  })

  test("prints JSON, whole, also into a pipe", async () => {
    const { code, out } = spawn("schema")
    expect([code, JSON.parse(out).title]).toEqual([0, "Gatehouse configuration"])
  })
})
