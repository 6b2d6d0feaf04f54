import { expect, test } from "bun:test"
import { BaseResolver, createConfig, lintDocument, Source } from "@redocly/openapi-core"
import { identityRoutes } from "../../src/admin/auth/endpoints.ts"
import { IDENTITY_REFERENCE } from "../../src/admin/auth/reference.ts"
import { createHealth } from "../../src/admin/health.ts"
import { openApiText } from "../../src/admin/openapi.ts"
import { realtimeRoutes } from "../../src/admin/realtime/endpoints.ts"
import { REALTIME_REFERENCE } from "../../src/admin/realtime/reference.ts"
import { REGISTRY_REFERENCE } from "../../src/admin/registry/reference.ts"
import type { Config } from "../../src/config/schema.ts"
import { FAILURES } from "../../src/policies/failure.ts"
import { exampleConfig } from "../support/config.ts"

const health = () =>
  createHealth({ version: "1.2.3", ready: () => true, services: () => [], wallClock: () => 0 })

// biome-ignore lint/suspicious/noExplicitAny: the document is read like any reader of JSON would
type Json = any

const protectedConfig = () =>
  exampleConfig({
    auth: { secret: "0123456789abcdefghijklmnopqrstuvwxyz" },
    defaults: { auth: {} },
    routes: [
      { path: "/closed", methods: ["GET"], respond: {}, auth: { scopes: ["read"], tiers: ["premium"] } },
      { path: "/keys", methods: ["GET"], respond: {}, auth: { methods: ["api_key"] } },
      { path: "/open", methods: ["GET"], respond: {}, auth: { required: false } },
      { path: "/free", methods: ["GET"], respond: {}, without: ["auth"] },
    ],
  })

async function documentOf(config: Config): Promise<Json> {
  return JSON.parse(await openApiText(config, "1.2.3", health()))
}

const accountsConfig = () =>
  exampleConfig({
    store: "sqlite::memory:",
    auth: { secret: "0123456789abcdefghijklmnopqrstuvwxyz" },
    routes: [{ path: "/open", methods: ["GET"], respond: {} }],
  })

const realtimeConfig = () =>
  exampleConfig({
    auth: { secret: "0123456789abcdefghijklmnopqrstuvwxyz" },
    realtime: { path: "/live", anonymous: true },
  })

const ROUTES = [
  {
    path: "/users/:id",
    methods: ["GET", "PUT"],
    service: "users",
    summary: "One user",
    description: "Reads or replaces a user.",
    examples: { request: { name: "Ada" }, response: { id: "7", name: "Ada" } },
  },
  { path: "/users/{user}/posts/*", service: "users" },
  { path: "/users/:name", methods: ["DELETE"], service: "users" },
  { path: "/users/*", methods: ["GET"], service: "users", hosts: ["api.example.com"] },
  { path: "/v1.0/ping", methods: ["GET"], respond: { status: 204 } },
  { path: "/*", service: "users" },
]

const config = () =>
  exampleConfig({ services: { users: { instances: ["http://127.0.0.1:9"] } }, routes: ROUTES })

test.each([config, protectedConfig, accountsConfig, realtimeConfig])(
  "[C-12.1] an OpenAPI linter finds no error in the document",
  async (make) => {
    const text = await openApiText(make(), "1.2.3", health())
    const problems = await lintDocument({
      document: { source: new Source("/openapi.json", text), parsed: JSON.parse(text) },
      config: await createConfig({ extends: ["spec"] }),
      externalRefResolver: new BaseResolver(),
    })
    expect(problems.map((each) => `${each.ruleId} ${each.message} ${each.location[0]?.pointer}`)).toEqual([])
  },
)

test("[C-12.1] configured routes appear with summary, description, path parameters and examples", async () => {
  const { paths } = await documentOf(config())
  const put = paths["/users/{id}"].put
  expect(put.summary).toBe("One user")
  expect(put.description).toStartWith("Reads or replaces a user.")
  expect(put.tags).toEqual(["users"])
  expect(put.parameters.map((each: Json) => [each.name, each.in, each.required])).toEqual([
    ["id", "path", true],
  ])
  expect(put.requestBody.content["application/json"].example).toEqual({ name: "Ada" })
  expect(put.responses["200"].content["application/json"].example).toEqual({ id: "7", name: "Ada" })
})

test("paths that differ in parameter names only are one path; a second route of a method is told in words", async () => {
  const { paths } = await documentOf(config())
  expect(paths["/users/{name}"]).toBeUndefined()
  expect(paths["/users/{rest}"]).toBeUndefined()
  expect(Object.keys(paths["/users/{id}"]).sort()).toEqual(["delete", "get", "put"])
  expect(paths["/users/{id}"].get.description).toContain("api.example.com")
})

test("a wildcard is a parameter that may hold slashes, and a dot in a path hides nothing", async () => {
  const { paths } = await documentOf(config())
  const parameters = paths["/users/{user}/posts/{rest}"].post.parameters
  expect(parameters.map((each: Json) => each.name)).toEqual(["user", "rest"])
  expect(parameters[1].description).toContain("slashes")
  expect(paths["/v1.0/ping"].get.responses["204"]).toBeDefined()
  expect(paths["/{rest}"].get).toBeDefined()
})

test("[C-12.1 C-2.3] a route tells how callers prove who they are, and what it asks of them", async () => {
  const { paths, components } = await documentOf(protectedConfig())
  const proofs = (path: string) =>
    paths[path].get.security.flatMap((each: Json) => Object.keys(each).join() || "none")
  expect(proofs("/closed")).toEqual(["bearer", "session", "api_key", "mutual_tls"])
  expect(proofs("/keys")).toEqual(["api_key"])
  expect(proofs("/open").at(-1)).toBe("none")
  expect(proofs("/free")).toEqual([])
  expect(Object.keys(components.securitySchemes)).toEqual(["bearer", "api_key", "session", "mutual_tls"])
  expect(paths["/closed"].get.description).toContain(
    "It needs a caller who proved its identity, with the scope read, of the tier premium.",
  )
  for (const status of ["401", "403"]) expect(paths["/closed"].get.responses).toHaveProperty(status)
  expect(paths["/free"].get.responses).not.toHaveProperty("401")
})

test("[T-2.3] [C-12.3] every failure code is documented with its status and an example", async () => {
  const { components, paths } = await documentOf(config())
  for (const [code, row] of Object.entries(FAILURES)) {
    const response = components.responses[`Status${row.status}`]
    expect(response.description).toContain(`\`${code}\``)
    expect(response.content["application/json"].examples[code]).toEqual({
      $ref: `#/components/examples/${code}`,
    })
    expect(components.examples[code].value.error.code).toBe(code)
  }
  expect(paths["/users/{id}"].get.responses["503"]).toEqual({ $ref: "#/components/responses/Status503" })
})

test("the built-in endpoints are documented, the pages that show them are not", async () => {
  const { paths } = await documentOf(config())
  expect(
    Object.keys(paths)
      .filter((path) => path.startsWith("/health"))
      .sort(),
  ).toEqual(["/health", "/health/dependencies", "/health/live", "/health/ready"])
  expect(Object.keys(paths).filter((path) => path.startsWith("/ui") || path.startsWith("/docs"))).toEqual([])
})

test("[C-12.2] every endpoint of identity and of the registry is described once, with an example of each body", async () => {
  const { paths } = await documentOf(accountsConfig())
  const known = identityRoutes(accountsConfig()).flatMap(({ path, methods }) =>
    methods.map((method) => `${method} ${path.replace(/^\/api(?:\/v1)?/, "")}`),
  )
  expect(Object.keys({ ...IDENTITY_REFERENCE, ...REGISTRY_REFERENCE }).sort()).toEqual(
    [...new Set(known)].sort(),
  )
  const login = paths["/api/v1/auth/login"].post
  expect(login.requestBody.content["application/json"].example.email).toBe("ada@example.com")
  expect(login.security).toEqual([])
  expect(Object.keys(login.responses)).toContain("429")
  expect(paths["/api/v1/users/me"].get.security.length).toBeGreaterThan(0)
  expect(paths["/api/v1/auth/sessions/{id}"].delete.parameters[0].name).toBe("id")
})

test("[C-12.2] every endpoint of channels is described once, those that read without WebSocket too", async () => {
  const { paths, tags } = await documentOf(realtimeConfig())
  const known = realtimeRoutes(realtimeConfig()).flatMap(({ path, methods }) =>
    methods.map((method) => `${method} ${path.slice("/live".length)}`),
  )
  expect(Object.keys(REALTIME_REFERENCE).sort()).toEqual([...known].sort())
  const { parameters, responses, security } = paths["/live/sse"].get
  expect(parameters.map((each: Json) => [each.name, each.in, each.required])).toEqual([
    ["channel", "query", true],
    ["last_event_id", "query", undefined],
    ["Last-Event-ID", "header", undefined],
  ])
  expect(Object.keys(responses["200"].content)).toEqual(["text/event-stream"])
  expect(security.at(-1)).toEqual({})
  const wait = paths["/live/poll"].get.parameters.find((each: Json) => each.name === "wait")
  expect(wait.schema).toEqual({ type: "number", minimum: 0, maximum: 60, default: 25 })
  const publish = paths["/live/channels/{name}/messages"].post
  expect(publish.requestBody.content["application/json"].example).toEqual({ data: { text: "hello" } })
  expect(publish.security).not.toContainEqual({})
  expect(tags.map((each: Json) => each.name)).toContain("realtime")
  expect((await documentOf(accountsConfig())).tags.map((each: Json) => each.name)).not.toContain("realtime")
})
