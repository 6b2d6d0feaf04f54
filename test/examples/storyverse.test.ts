import { afterAll, describe, expect, test } from "bun:test"
import { runExample } from "../support/example.ts"

const example = runExample("storyverse.yaml")
afterAll(() => example.close())

const json = { headers: { "content-type": "application/json" }, body: '{"title":"The fox"}' }

/** The endpoint table of the document: method, path, service. */
const ENDPOINTS = [
  ["POST", "/api/auth/register", "AUTH"],
  ["POST", "/api/auth/login", "AUTH"],
  ["POST", "/api/auth/refresh", "AUTH"],
  ["POST", "/api/auth/logout", "AUTH"],
  ["GET", "/api/stories", "STORIES"],
  ["POST", "/api/stories", "STORIES"],
  ["GET", "/api/stories/42", "STORIES"],
  ["PUT", "/api/stories/42", "STORIES"],
  ["DELETE", "/api/stories/42", "STORIES"],
  ["GET", "/api/characters", "CHARACTERS"],
  ["GET", "/api/characters/fox", "CHARACTERS"],
  ["GET", "/api/universes", "UNIVERSES"],
  ["GET", "/api/universes/sea", "UNIVERSES"],
  ["POST", "/api/generate/text", "GENERATION"],
  ["POST", "/api/generate/image", "GENERATION"],
  ["POST", "/api/generate/audio", "GENERATION"],
] as const

describe("[V-endpoints] each row of the endpoint table reaches its service", () => {
  for (const [method, path, service] of ENDPOINTS) {
    test(`${method} ${path}`, async () => {
      const { response, arrived } = await example.call(method, path, method === "GET" ? {} : json)
      expect(response.status).toBe(200)
      expect(arrived).toMatchObject({ method, path })
      expect(arrived!.instance).toStartWith(`${service}_`)
    })
  }
})

describe("[V-endpoints] what is not in the table is refused by the gateway", () => {
  for (const [method, path, allow] of [
    ["GET", "/api/auth/login", "POST, OPTIONS"],
    ["DELETE", "/api/stories", "GET, HEAD, POST, OPTIONS"],
    ["PATCH", "/api/stories/42", "GET, HEAD, PUT, DELETE, OPTIONS"],
    ["POST", "/api/characters", "GET, HEAD, OPTIONS"],
    ["GET", "/api/generate/text", "POST, OPTIONS"],
  ] as const) {
    test(`${method} ${path} is 405 with Allow: ${allow}`, async () => {
      const { response, arrived } = await example.call(method, path)
      expect(response.status).toBe(405)
      expect(response.headers.get("allow")).toBe(allow)
      expect(arrived).toBeUndefined()
    })
  }

  test("an unknown path is 404", async () => {
    const { response, arrived } = await example.call("GET", "/api/toys")
    expect(response.status).toBe(404)
    expect(arrived).toBeUndefined()
  })
})

test("[V-endpoints] a generation that failed is not asked twice", async () => {
  let asked = 0
  const busy = () => {
    asked++
    return new Response("busy", { status: 503 })
  }
  example.answer("GENERATION_1", busy)
  example.answer("GENERATION_2", busy)
  const { response } = await example.call("POST", "/api/generate/text", json)
  expect(response.status).toBe(503)
  expect(asked).toBe(1)
})
