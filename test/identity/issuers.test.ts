import { afterEach, expect, test } from "bun:test"
import { COOLDOWN_MS, type IssuerDeps } from "../../src/identity/issuer_source.ts"
import { Issuers } from "../../src/identity/issuers.ts"
import type { IssuerKeys } from "../../src/identity/messages.ts"
import { isLinkLocal } from "../../src/upstream/link_local.ts"
import { authSettings } from "../support/authenticator.ts"
import { FakeTime } from "../support/fake_time.ts"
import { type IssuerMode, issuerKey, TestIssuer } from "../support/issuer.ts"
import { memoryLog } from "../support/memory_log.ts"
import { until } from "../support/until.ts"

const [first, second] = [await issuerKey("first"), await issuerKey("second")]
const opened: { close(): unknown }[] = []

afterEach(async () => {
  for (const each of opened.splice(0)) await each.close()
})

class Fixture {
  readonly issuer = new TestIssuer([first])
  readonly time = new FakeTime()
  readonly log = memoryLog()
  readonly told: IssuerKeys[] = []
  readonly issuers: Issuers
  ends = 0

  constructor(deps: Partial<IssuerDeps> = {}) {
    this.issuers = new Issuers({
      fetch: (url, init) => fetch(url, init),
      lookUp: async (host) => [host],
      isRefused: isLinkLocal,
      timeoutMs: 10_000,
      now: this.time.now,
      random: () => 0,
      after: this.time.after,
      log: this.log,
      count: () => this.ends++,
      onKeys: (keys) => this.told.push(keys),
      ...deps,
    })
    opened.push(this.issuer, this.issuers)
  }

  apply(over: object = {}): void {
    this.issuers.apply(
      authSettings({
        issuers: [{ issuer: this.issuer.url, audience: ["api"], algorithms: ["ES256"], ...over }],
      }),
    )
  }

  /** Applies, and waits until the first fetch has ended, well or not. */
  async start(over: object = {}): Promise<void> {
    this.apply(over)
    await this.ended(1)
  }

  async ended(count: number): Promise<void> {
    await until(() => this.ends >= count, `${count} fetches to end`)
  }

  kids(): (string | undefined)[] {
    return this.issuers.state().flatMap(({ keys }) => keys.map((key) => key.kid))
  }

  async ask(kid: string): Promise<(string | undefined)[]> {
    return (await this.issuers.ask(this.issuer.url, kid))!.keys.map((key) => key.kid)
  }
}

test("keys are found by discovery, and told", async () => {
  const fixture = new Fixture()
  await fixture.start()
  expect(fixture.kids()).toEqual(["first"])
  expect(fixture.told).toHaveLength(1)
  expect(fixture.issuer.asked).toEqual(["/.well-known/openid-configuration", "/keys"])
})

test("with a URL of the key set nothing is discovered", async () => {
  const fixture = new Fixture()
  await fixture.start({ issuer: "acme", jwks: fixture.issuer.jwks })
  expect(fixture.issuers.state().map(({ issuer }) => issuer)).toEqual(["acme"])
  expect(fixture.issuer.asked).toEqual(["/keys"])
})

test("[F-69] a discovery document of another issuer, even by a slash, brings no keys", async () => {
  const fixture = new Fixture()
  fixture.issuer.discovery = { issuer: `${fixture.issuer.url}/` }
  await fixture.start()
  expect(fixture.kids()).toEqual([])
  expect(fixture.issuer.fetches).toBe(0)
})

test.each([
  "http://192.0.2.1/keys",
  "file:///etc/passwd",
  "https://user:secret@example.com/keys",
  "http://127.0.0.1.example.com/keys",
  "data:application/json,{}",
  "",
])("[F-69] a discovery document that leads to %p is not followed", async (jwks_uri) => {
  const asked: string[] = []
  const fixture = new Fixture({
    fetch: (url, init) => {
      asked.push(url)
      return fetch(url, init)
    },
  })
  fixture.issuer.discovery = { jwks_uri }
  await fixture.start()
  expect(asked).toEqual([`${fixture.issuer.url}/.well-known/openid-configuration`])
  expect(fixture.log.events.map(({ event }) => event)).toEqual(["issuer.unavailable"])
})

test("[F-69] a host whose name leads to a link-local address is not asked", async () => {
  const asked: string[] = []
  const fixture = new Fixture({
    lookUp: async () => ["169.254.169.254"],
    fetch: async (url) => {
      asked.push(url)
      return Response.json({ keys: [first.jwk] })
    },
  })
  await fixture.start({ jwks: "https://keys.example.com/" })
  expect(asked).toEqual([])
  expect(fixture.kids()).toEqual([])
})

test("[F-69] a redirect is not followed", async () => {
  const fixture = new Fixture()
  fixture.issuer.mode = "redirect"
  await fixture.start({ jwks: fixture.issuer.jwks })
  expect(fixture.issuer.asked).toEqual(["/keys"])
  expect(fixture.kids()).toEqual([])
})

test.each<IssuerMode>(["down", "silent", "stalled", "garbage", "empty", "not_keys", "huge", "redirect"])(
  "[F-53] an issuer that is %p does not take the keys away that are known",
  async (mode) => {
    // Those that keep it waiting have less time than those that answer.
    const fixture = new Fixture(mode === "silent" || mode === "stalled" ? { timeoutMs: 1000 } : {})
    await fixture.start({ jwks: fixture.issuer.jwks })
    fixture.issuer.mode = mode
    fixture.time.pass(600_000)
    await fixture.ended(2)
    expect(fixture.kids()).toEqual(["first"])
    expect(fixture.told).toHaveLength(1)
    expect(fixture.log.events.map(({ event }) => event)).toEqual(["issuer.keys", "issuer.unavailable"])
  },
)

test("[F-53] an issuer that stays away is asked again after waits that double up to a minute, and logged once", async () => {
  const fixture = new Fixture()
  fixture.issuer.mode = "down"
  await fixture.start({ jwks: fixture.issuer.jwks })
  let ends = 1
  for (const waitS of [1, 2, 4, 8, 16, 32, 60, 60]) {
    fixture.time.pass(waitS * 1000 - 1)
    expect(fixture.issuer.fetches).toBe(ends)
    fixture.time.pass(1)
    await fixture.ended(++ends)
  }
  expect(fixture.log.events.map(({ event }) => event)).toEqual(["issuer.unavailable"])
  fixture.issuer.mode = "fine"
  fixture.time.pass(60_000)
  await fixture.ended(++ends)
  expect(fixture.kids()).toEqual(["first"])
  expect(fixture.log.events.map(({ event }) => event)).toEqual(["issuer.unavailable", "issuer.keys"])
})

test.each([
  ["max-age=120", 120],
  ["public, max-age=7200", 7200],
  ["max-age=1", 60],
  ["no-store", 60],
  ["max-age=99999999", 86_400],
  ["max-age=soon", 600],
])("keys fetched with Cache-Control %p are fetched again after %d s", async (cacheControl, seconds) => {
  const fixture = new Fixture()
  fixture.issuer.cacheControl = cacheControl
  await fixture.start()
  fixture.time.pass(seconds * 1000 - 1)
  expect(fixture.issuer.fetches).toBe(1)
  fixture.issuer.keys = [first, second]
  fixture.time.pass(1)
  await fixture.ended(2)
  expect(fixture.kids()).toEqual(["first", "second"])
})

test("refreshes of several gateways are spread over a fifth of the time", async () => {
  const fixture = new Fixture({ random: () => 0.5 })
  await fixture.start()
  fixture.time.pass(540_000 - 1)
  expect(fixture.issuer.fetches).toBe(1)
  fixture.time.pass(1)
  await fixture.ended(2)
})

test("[F-53] a key that is not known is fetched at once", async () => {
  const fixture = new Fixture()
  await fixture.start()
  fixture.issuer.keys = [second, first]
  expect(await fixture.ask("second")).toEqual(["second", "first"])
  expect(fixture.told).toHaveLength(2)
})

test("[F-53] a key that is known is not fetched", async () => {
  const fixture = new Fixture()
  await fixture.start()
  expect(await fixture.ask("first")).toEqual(["first"])
  expect(fixture.issuer.fetches).toBe(1)
})

test("[F-53] a flood of unknown keys makes one fetch in each cooldown", async () => {
  const fixture = new Fixture()
  await fixture.start()
  for (let i = 0; i < 50; i++) await Promise.all([fixture.ask(`a${i}`), fixture.ask(`b${i}`)])
  expect(fixture.issuer.fetches).toBe(2)
  fixture.time.pass(COOLDOWN_MS - 1)
  await fixture.ask("c")
  expect(fixture.issuer.fetches).toBe(2)
  fixture.time.pass(1)
  await Promise.all(Array.from({ length: 100 }, (_, i) => fixture.ask(`d${i}`)))
  expect(fixture.issuer.fetches).toBe(3)
})

test("[F-53] a hundred who ask before the first keys are there wait for one fetch", async () => {
  const fixture = new Fixture()
  fixture.apply()
  const asked = await Promise.all(Array.from({ length: 100 }, () => fixture.ask("first")))
  expect(asked.every((kids) => kids.includes("first"))).toBe(true)
  expect(fixture.issuer.fetches).toBe(1)
})

test("an issuer that is down at the start is not asked once for each request", async () => {
  const fixture = new Fixture()
  fixture.issuer.mode = "down"
  fixture.apply({ jwks: fixture.issuer.jwks })
  const asked = await Promise.all(Array.from({ length: 100 }, () => fixture.ask("first")))
  expect(asked.flat()).toEqual([])
  expect(fixture.issuer.fetches).toBe(1)
})

test("an issuer config does not name has no answer", async () => {
  const fixture = new Fixture()
  await fixture.start()
  expect(await fixture.issuers.ask("https://else.example", "first")).toBeUndefined()
})

test("a reload keeps the keys of issuers that stay, and forgets those that go", async () => {
  const fixture = new Fixture()
  await fixture.start()
  fixture.apply({ audience: ["other"] })
  expect(fixture.kids()).toEqual(["first"])
  expect(fixture.issuer.fetches).toBe(1)
  fixture.issuers.apply(undefined)
  expect(fixture.kids()).toEqual([])
  fixture.time.pass(86_400_000)
  expect(fixture.issuer.fetches).toBe(1)
})

test("a reload that moves the key set keeps the old keys until the new ones are there", async () => {
  const fixture = new Fixture()
  await fixture.start()
  fixture.issuer.mode = "down"
  fixture.apply({ jwks: fixture.issuer.jwks })
  await fixture.ended(2)
  expect(fixture.kids()).toEqual(["first"])
})

test("[F-52] secrets and private keys in a key set are left out", async () => {
  const fixture = new Fixture()
  const secret = { kty: "oct", k: "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", kid: "secret", alg: "HS256" }
  fixture.issuer.keys = [{ ...first, jwk: secret }, first]
  await fixture.start({ algorithms: ["HS256", "ES256"] })
  expect(fixture.kids()).toEqual(["first"])
})
