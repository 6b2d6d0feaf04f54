import { expect, test } from "bun:test"
import { EffectiveConfig, type Told } from "../../src/gateway/effective_config.ts"
import type { FoundInstance, FoundService } from "../../src/upstream/discovery/source.ts"
import { MAX_SERVICES } from "../../src/upstream/memory.ts"
import { instanceKey, instanceUrl } from "../../src/upstream/slots.ts"
import { exampleConfig } from "../support/config.ts"

const at = (url: string, more: Partial<FoundInstance> = {}): FoundInstance => ({
  url,
  weight: 1,
  zone: "",
  tags: [],
  draining: false,
  ...more,
})

const service = (
  name: string,
  instances: FoundInstance[],
  more: Partial<FoundService> = {},
): FoundService => ({
  name,
  instances,
  dependsOn: [],
  check: undefined,
  ...more,
})

const registry = (...services: FoundService[]): Told => ({ source: "registry", about: undefined, services })

const NONE: ReadonlySet<string> = new Set()
const A = "http://10.0.0.1:80"
const B = "http://10.0.0.2:80"

const BASE = exampleConfig({
  discovery: { routes: "/api/v1/{service}/*" },
  services: {
    fixed: { instances: [A] },
    open: { instances: [A], discover: { registry: true } },
  },
  routes: [{ path: "/fixed", service: "fixed" }],
})

const urlsOf = (effective: ReturnType<EffectiveConfig["merge"]>, name: string) =>
  effective.config.services[name]!.instances.map(instanceUrl)

test("[T-1.4] [T-6.1] registered instances join those of config where the service asks for them, and nowhere else", () => {
  const effective = new EffectiveConfig().merge(
    BASE,
    [
      registry(
        service("fixed", [at(B)]),
        service("open", [at(B, { weight: 7, zone: "eu", tags: ["x"] }), at(A)]),
      ),
    ],
    NONE,
    0,
  )
  expect(urlsOf(effective, "fixed")).toEqual([A])
  expect(effective.config.services.open!.instances).toEqual([
    A,
    { url: B, weight: 7, found: { source: "registry", zone: "eu", tags: ["x"] } },
  ])
  expect(effective.config.routes).toBe(BASE.routes)
})

test("[T-6.1] a service config does not name gets a route by rule, keeps it for a minute without instances, and then none", () => {
  const config = new EffectiveConfig()
  const there = config.merge(BASE, [registry(service("story", [at(B)]))], NONE, 0)
  expect(there.config.routes.at(-1)).toMatchObject({ path: "/api/v1/story/*", service: "story", methods: [] })
  expect(urlsOf(there, "story")).toEqual([B])
  expect(there.config.services.story!.timeout).toBe(30_000)
  const gone = config.merge(BASE, [registry()], NONE, 59_999)
  expect(urlsOf(gone, "story")).toEqual([])
  expect(gone.config.routes).toBe(there.config.routes)
  expect(gone.nextAt).toBe(60_000)
  const over = config.merge(BASE, [registry()], NONE, 60_000)
  expect(over.config.services.story).toBeUndefined()
  expect(over.config.routes).toBe(BASE.routes)
})

test("[T-6.1] what has not changed is the very same object: nobody compiles it again", () => {
  const config = new EffectiveConfig()
  const one = config.merge(BASE, [registry(service("open", [at(B)]))], NONE, 0)
  const two = config.merge(BASE, [registry(service("open", [at(B)]))], NONE, 1)
  expect(two.config.services.open).toBe(one.config.services.open!)
  const three = config.merge(BASE, [registry(service("open", [at(B, { weight: 2 })]))], NONE, 2)
  expect(three.config.services.open).not.toBe(one.config.services.open!)
  expect(three.config.services.fixed).toBe(one.config.services.fixed!)
})

test("[T-6.1] draining is no change of a service: one that config lists can be drained, by a source or an operator", () => {
  const config = new EffectiveConfig()
  const one = config.merge(BASE, [registry(service("open", [at(B)]))], NONE, 0)
  const drained = new Set([instanceKey("fixed", A)])
  const two = config.merge(
    BASE,
    [registry(service("open", [at(A, { draining: true }), at(B, { draining: true })]))],
    drained,
    0,
  )
  expect(two.config.services.open).toBe(one.config.services.open!)
  expect(two.draining).toEqual(
    new Set([instanceKey("open", A), instanceKey("open", B), instanceKey("fixed", A)]),
  )
})

test("[F-69] addresses that are not allowed are left out and told of, the others are taken", () => {
  const found = service("open", [at("http://127.0.0.1:80"), at("http://169.254.169.254:80"), at(B)])
  const effective = new EffectiveConfig().merge(BASE, [registry(found)], NONE, 0)
  expect(urlsOf(effective, "open")).toEqual([A, B])
  expect(effective.refused.map(({ instance }) => instance)).toEqual([
    "http://127.0.0.1:80",
    "http://169.254.169.254:80",
  ])
})

test("[T-6.1] a name that cannot be a service's is refused; without a rule for routes no service is made", () => {
  const told = [registry(service("No/Name", [at(B)]), service("story", [at(B)]))]
  const effective = new EffectiveConfig().merge(BASE, told, NONE, 0)
  expect(effective.refused.map((each) => each.service)).toEqual(["No/Name"])
  const bare = exampleConfig({ services: {} })
  expect(new EffectiveConfig().merge(bare, told, NONE, 0).config.services).toEqual({})
})

test("[T-6.1] a service has 1024 instances at most, however many are found", () => {
  const many = Array.from({ length: 1500 }, (_, i) => at(`http://10.1.${i >> 8}.${i & 255}:80`))
  const effective = new EffectiveConfig().merge(BASE, [registry(service("open", many))], NONE, 0)
  expect(urlsOf(effective, "open").length).toBe(1024)
  expect(effective.refused.length).toBe(1500 - 1023)
})

test("[T-6.2] checks a source asks for are done where config says nothing", () => {
  const check = { path: "/ok", interval: 1000 }
  const effective = new EffectiveConfig().merge(
    BASE,
    [registry(service("open", [at(B)], { check }))],
    NONE,
    0,
  )
  expect(effective.config.services.open!.health).toMatchObject({
    path: "/ok",
    interval: 1000,
    timeout: 500,
    unhealthy_after: 3,
  })
})

test("[T-6.5] found dependencies are added, but for one that would close a circle", () => {
  const told = [
    registry(
      service("a", [at(A)], { dependsOn: [{ service: "b", kind: "hard" }] }),
      service("b", [at(B)], { dependsOn: [{ service: "c", kind: "soft" }] }),
      service("c", [at(B)], {
        dependsOn: [
          { service: "a", kind: "hard" },
          { service: "fixed", kind: "hard" },
        ],
      }),
    ),
  ]
  const { config, refused } = new EffectiveConfig().merge(BASE, told, NONE, 0)
  expect(config.services.a!.depends_on).toEqual([{ service: "b", kind: "hard" }])
  expect(config.services.c!.depends_on).toEqual([{ service: "fixed", kind: "hard" }])
  expect(refused).toMatchObject([{ service: "c", reason: "depending on a would close a circle" }])
})

test("[T-6.1] what a source still tells of a config before this one is not taken", () => {
  const told: Told = { source: "dns", about: "open", services: [service("open", [at(B)])] }
  expect(urlsOf(new EffectiveConfig().merge(BASE, [told], NONE, 0), "open")).toEqual([A])
})

test("[F-69] no service gets a route by rule where the gateway itself or config has one", () => {
  const builtins = ["/health", "/docs/json", "/api/v1/auth/login", "/api/v1/users/:id/keys"]
  const base = (routes: string) =>
    exampleConfig({
      discovery: { routes },
      services: { fixed: { instances: [A] } },
      routes: [
        { path: "/api/v1/story/*", methods: ["GET"], service: "fixed" },
        { path: "/status", respond: {} },
      ],
    })
  const names = ["auth", "users", "health", "docs", "api", "story", "status", "free"]
  const told = registry(...names.map((name) => service(name, [at(B)])))
  const routedBy = (rule: string) => {
    const effective = new EffectiveConfig(() => builtins).merge(base(rule), [told], NONE, 0)
    const refused = effective.refused.map((each) => each.service)
    const routed = effective.config.routes.slice(2).map((each) => each.service!)
    expect([...refused, ...routed].sort()).toEqual([...names].sort())
    expect(Object.keys(effective.config.services).sort()).toEqual(["fixed", ...routed].sort())
    return routed
  }
  expect(routedBy("/api/v1/{service}/*")).toEqual(["api", "docs", "free", "health", "status"])
  expect(routedBy("/{service}/*")).toEqual(["auth", "free", "story", "users"])
  expect(routedBy("/{service}")).toEqual(["auth", "free", "story", "users"])
})

test("[F-69] a route made by rule ends at once when a reload brings one of config's own", () => {
  const config = new EffectiveConfig()
  config.merge(BASE, [registry(service("story", [at(B)]))], NONE, 0)
  const next = exampleConfig({
    discovery: { routes: "/api/v1/{service}/*" },
    services: { fixed: { instances: [A] } },
    routes: [{ path: "/api/v1/story/*", service: "fixed" }],
  })
  const reloaded = config.merge(next, [registry(service("story", [at(B)]))], NONE, 1)
  expect(reloaded.config.routes).toBe(next.routes)
  expect(reloaded.refused[0]).toMatchObject({ service: "story", reason: expect.stringContaining("config") })
})

test("[F-69] services that come and go under ever new names take the room of none that is there", () => {
  const config = new EffectiveConfig()
  const wave = (from: number) => Array.from({ length: 500 }, (_, i) => service(`s${from + i}`, [at(B)]))
  for (const [now, from] of [0, 500, 1000, 1500].entries()) {
    const { config: next, refused } = config.merge(BASE, [registry(...wave(from))], NONE, now)
    expect(refused).toEqual([])
    expect(Object.keys(next.services).length).toBeLessThanOrEqual(MAX_SERVICES)
    for (const { name } of wave(from)) expect(next.services[name]!.instances.length).toBe(1)
  }
  // The latest of those that have gone keep their routes.
  const services = Object.keys(config.merge(BASE, [registry()], NONE, 5).config.services)
  expect(services).toContain("s1000")
  expect(services).not.toContain("s0")
})
