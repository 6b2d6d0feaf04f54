import { afterAll, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { demo } from "../../src/cli/demo.ts"
import { runGateway } from "../../src/cli/run_gateway.ts"
import { serve } from "../../src/cli/serve.ts"
import type { Config } from "../../src/config/schema.ts"
import { exampleConfig } from "../support/config.ts"
import { until } from "../support/until.ts"

// The same as processes run, inside this one: signals are emitted, not sent.
setDefaultTimeout(30_000)

const TOKEN = "a-token-for-tests-only"
const directory = mkdtempSync(join(tmpdir(), "gatehouse-in-process-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

function collect() {
  const texts: string[] = []
  return {
    text: () => texts.join(""),
    output: { out: (text: string) => void texts.push(text), err: (text: string) => void texts.push(text) },
  }
}

function config(body: string): Config {
  return exampleConfig({
    server: { host: "127.0.0.1", port: 0, workers: 1, drain_delay: "0s" },
    admin: { port: 0, token: TOKEN },
    log: { level: "error" },
    routes: [{ path: "/", respond: { body } }],
  })
}

test("a gateway answers, reloads on SIGHUP, serves operators and ends on SIGINT with 0", async () => {
  const { output } = collect()
  const started = Promise.withResolvers<{ port: number; adminPort: number }>()
  let next = config("first")
  const end = runGateway({
    config: next,
    load: () => ({ ok: true, config: next, warnings: [] }),
    file: undefined,
    output,
    onStarted: started.resolve,
  })
  const { port, adminPort } = await started.promise
  const get = async () => (await fetch(`http://127.0.0.1:${port}/`)).text()
  const admin = (path: string, method = "GET") =>
    fetch(`http://127.0.0.1:${adminPort}${path}`, { method, headers: { authorization: `Bearer ${TOKEN}` } })
  expect(await get()).toBe("first")

  next = config("second")
  process.emit("SIGHUP")
  let page = ""
  for (const deadline = Date.now() + 5000; !page.includes("generation 2") && Date.now() < deadline; )
    page = await (await admin("/metrics")).text()
  expect(page).toContain("gatehouse_config_generation 2")
  expect(await get()).toBe("second")
  expect(await (await admin("/admin/v1/status")).json()).toMatchObject({ generation: 2, draining: false })
  expect((await admin("/admin/v1/services/nobody/breaker/reset", "POST")).status).toBe(404)

  process.emit("SIGINT")
  expect(await end).toBe(0)
  expect(get()).rejects.toThrow()
})

test("an admin port that is taken ends the start with 2 and leaves nothing running", async () => {
  const other = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() })
  const { output, text } = collect()
  const taken = config("x")
  const code = await runGateway({
    config: { ...taken, admin: { ...taken.admin, port: other.port! } },
    load: () => ({ ok: false, problems: [], warnings: [] }),
    file: undefined,
    output,
  })
  expect(code).toBe(2)
  expect(text()).toContain(`127.0.0.1:${other.port} for the admin API: the port is taken by another program`)
  await other.stop(true)
})

test("serve refuses wrong words and a broken file with 1, and says why", async () => {
  const { output, text } = collect()
  expect(await serve(["x"], output)).toBe(1)
  writeFileSync(join(directory, "bad.yaml"), "server: { port: x }")
  expect(await serve(["-c", join(directory, "bad.yaml")], output)).toBe(1)
  expect(text()).toContain('unexpected argument "x"')
  expect(text()).toContain("server.port: expected a whole number")
})

test("[C-2.9] the demo prints requests that work, from sign-up to sign-out, and ends on SIGTERM with 0", async () => {
  const { output, text } = collect()
  const end = demo([], output)
  await until(() => text().includes("API reference"), "the start", 20_000)
  const url = /Clients: (\S+)/.exec(text())![1]!
  const get = async (path: string) => (await fetch(url + path)).text()
  expect([await get("/hello"), await get("/hello")].join()).toContain('"instance":"b"')
  expect(await get("/careful")).toContain("a fallback")
  expect(await get("/events")).toContain("tick 5 of 5")
  expect(await get("/api/v1/echo/x?y=1")).toContain('"path":"/echo/x?y=1"')
  expect((await fetch(`${url}/flaky`)).status).toBe(500)
  expect((await fetch(`${url}/slow`)).status).toBe(504)
  const printed = text().slice(
    text().indexOf("# nobody has said"),
    text().indexOf("# a method nobody serves"),
  )
  // Not spawnSync: the control plane is this very thread.
  const shell = Bun.spawn(["bash", "-c", printed], { stdout: "pipe" })
  const shown = await new Response(shell.stdout).text()
  expect(shown.match(/HTTP\/1.1 (\d+)/g)).toEqual(["HTTP/1.1 401", "HTTP/1.1 200", "HTTP/1.1 401"])
  expect(shown).toContain('"x-user-roles":"user"')
  expect(shown).toContain('"missing":{"roles":["admin"]}')
  expect(shown).toContain('"missing":{"condition":"owner"}')
  expect(shown).toContain("the token was revoked")
  const chat = text().slice(text().indexOf("# a channel"), text().indexOf("# metrics"))
  const listening = Bun.spawn(["bash", "-c", chat], { stdout: "pipe", stderr: "ignore" })
  const heard = await new Response(listening.stdout).text()
  // By the reader of events, and by the one who wrote it.
  expect(heard).toContain('"channel":"chat:lobby","offset":1,"data":"hello"')
  expect(heard).toContain('"push":"safety","category":"self_harm"')
  process.emit("SIGTERM")
  expect(await end).toBe(0)
  expect(await demo(["x"], output)).toBe(1)
})
