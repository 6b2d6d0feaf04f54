import { describe, expect, test } from "bun:test"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { identityRoutes } from "../../src/admin/auth/endpoints.ts"
import { loadConfig } from "../../src/config/load.ts"
import { formatProblem } from "../../src/config/problem.ts"
import type { Config } from "../../src/config/schema.ts"

const directory = join(import.meta.dir, "../../examples")

function load(name: string): Config {
  const loaded = loadConfig(join(directory, name), { SECRET_KEY: "0123456789abcdefghijklmnopqrstuvwxyz" })
  const findings = [...(loaded.ok ? [] : loaded.problems), ...loaded.warnings]
  if (!loaded.ok || findings.length > 0)
    throw new Error(findings.map((each) => formatProblem(each, name)).join("\n"))
  return loaded.config
}

const endpoints = (config: Config) =>
  config.routes.flatMap((route) => route.methods.map((method) => `${method} ${route.path} ${route.service}`))

for (const name of readdirSync(directory).filter((each) => each.endsWith(".yaml"))) {
  test(`examples/${name} is accepted anywhere with a SECRET_KEY, without a warning`, () => {
    expect(load(name).routes.length).toBeGreaterThan(0)
  })
}

test("[V-endpoints] storyverse.yaml has the whole endpoint table, with the gateway's own endpoints", () => {
  const config = load("storyverse.yaml")
  const own = identityRoutes(config).map(({ methods, path }) => `${methods} ${path}`)
  for (const name of ["register", "login", "refresh", "logout"])
    expect(own).toContain(`POST /api/auth/${name}`)
  expect(endpoints(config)).toEqual([
    "GET /api/stories stories",
    "POST /api/stories stories",
    "GET /api/stories/{id} stories",
    "PUT /api/stories/{id} stories",
    "DELETE /api/stories/{id} stories",
    "GET /api/characters characters",
    "GET /api/characters/{id} characters",
    "GET /api/universes universes",
    "GET /api/universes/{id} universes",
    "POST /api/generate/text generation",
    "POST /api/generate/image generation",
    "POST /api/generate/audio generation",
  ])
})

test("[I-auth] isaas.yaml does not start without a secret of its own", () => {
  const loaded = loadConfig(join(directory, "isaas.yaml"), {})
  expect(loaded.ok === false && loaded.problems.map(({ path }) => path)).toEqual(["auth.secret"])
})

describe("isaas.yaml", () => {
  const config = load("isaas.yaml")

  test("[I-routes] has context, intent, predict and realtime with the methods of the document", () => {
    expect(endpoints(config)).toEqual(
      ["context", "intent", "predict", "realtime"].flatMap((name) => [
        `GET /api/v1/${name}/* ${name}`,
        `POST /api/v1/${name}/* ${name}`,
      ]),
    )
    expect(
      config.routes.filter((route) => route.websocket === "relay").map((route) => route.service),
    ).toEqual(["realtime"])
  })

  test("[I-cb] [C-7.3] has the documented breaker on all but realtime", () => {
    const documented = {
      failure_threshold: 5,
      recovery_timeout: 60_000,
      half_open_timeout: 30_000,
      failure_window: 120_000,
      min_throughput: 5,
    }
    for (const name of ["context", "intent", "predict"])
      expect(config.services[name]!.breaker).toMatchObject(documented)
    expect(config.services.realtime!.breaker).toBeUndefined()
  })

  test("[I-priv] asks for privacy headers", () => {
    expect(Object.keys(config.defaults.require_headers ?? {})).toEqual([
      "x-privacy-consent",
      "x-privacy-purpose",
    ])
  })
})

test("[C-1.2] cloudtolocalllm.yaml routes to the tunnel, streaming, admin and user services", () => {
  const { routes } = load("cloudtolocalllm.yaml")
  expect(new Set(routes.map((route) => route.service))).toEqual(
    new Set(["tunnels", "streaming", "admin", "users"]),
  )
})

test("[T-2.1] [T-2.4] tta.yaml has nested resources and two versions side by side", () => {
  const paths = load("tta.yaml").routes.map((route) => route.path)
  expect(paths).toContain("/api/v1/players/{id}/characters")
  expect(paths).toContain("/api/v2/players/{id}/*")
})
