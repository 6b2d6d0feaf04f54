import { afterAll, describe, expect, test } from "bun:test"
import { accessToken } from "../support/access_token.ts"
import { type RunningExample, runExample } from "../support/example.ts"

const opened: RunningExample[] = []
afterAll(() => {
  for (const example of opened) example.close()
})

/** Asks so many times at once; the statuses counted, and the last refusal. */
async function ask(example: RunningExample, times: number, method: string, path: string, headers: object) {
  const calls = Array.from({ length: times }, () => example.call(method, path, { headers: { ...headers } }))
  const all = await Promise.all(calls)
  const refused = all.findLast(({ response }) => response.status === 429)
  return { all, refused }
}

function open(name: string): RunningExample {
  const example = runExample(name)
  opened.push(example)
  return example
}

const bearer = (claims: object) => ({
  authorization: `Bearer ${accessToken({ scopes: ["read", "write", "generate"], ...claims })}`,
})
const ok = ({ all }: Awaited<ReturnType<typeof ask>>) => all.filter(({ response }) => response.ok).length

describe("what clients of the examples may ask", () => {
  test("[I-rl C-6.5] isaas.yaml: 10 a second of each user, 20 at once; then 429 with its headers", async () => {
    const example = open("isaas.yaml")
    const headers = {
      ...bearer({ id: "7" }),
      "x-privacy-consent": "granted",
      "x-privacy-purpose": "context",
    }
    const asked = await ask(example, 60, "GET", "/api/v1/context/a", headers)
    expect(ok(asked)).toBeGreaterThanOrEqual(20)
    const { response, body } = asked.refused!
    expect(response.headers.get("ratelimit-policy")).toBe('"user";q=20;w=2')
    expect(response.headers.get("ratelimit")).toStartWith('"user";r=0;t=')
    expect(response.headers.get("x-ratelimit-limit")).toBe("20")
    expect(response.headers.get("x-ratelimit-remaining")).toBe("0")
    expect(response.headers.get("retry-after")).toBe("1")
    expect(JSON.parse(body).error).toMatchObject({ code: "RATE_LIMITED", details: { limit: "user" } })
    const other = await ask(example, 1, "GET", "/api/v1/context/a", { ...headers, ...bearer({ id: "8" }) })
    expect(ok(other)).toBe(1)
  })

  test("[C-6.2] gatehouse.yaml: 100 a minute of each address", async () => {
    expect(ok(await ask(open("gatehouse.yaml"), 110, "GET", "/api/v1/hello/a", {}))).toBeOneOf([
      100, 101, 102,
    ])
  })

  test("[V-rl.3 V-rl.4b] storyverse.yaml: less of what is dear, more for premium", async () => {
    const example = open("storyverse.yaml")
    const of = (tier: string) => bearer({ id: tier, tier })
    expect(ok(await ask(example, 15, "POST", "/api/generate/text", of("basic")))).toBe(10)
    expect(ok(await ask(example, 45, "POST", "/api/generate/text", of("premium")))).toBeOneOf([40, 41])
  })

  test("[C-6.7] tta.yaml: checks of safety are never refused", async () => {
    const headers = bearer({ id: "7", roles: ["therapist_supervisor"] })
    const asked = await ask(open("tta.yaml"), 250, "POST", "/api/v1/safety/checks", headers)
    expect(ok(asked)).toBe(250)
    expect(asked.all[0]!.response.headers.get("ratelimit")).toBeNull()
  })
})
