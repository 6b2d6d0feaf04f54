import { expect, test } from "bun:test"
import { parseConfig } from "../../src/config/load.ts"

function problems(file: object): string[] {
  const loaded = parseConfig(JSON.stringify(file), "json", {})
  return loaded.ok ? [] : loaded.problems.map(({ path, message }) => `${path}: ${message}`)
}

const A = "http://10.0.0.1:80"

test("[T-1.4] a service needs an instance, or a place where they are found", () => {
  expect(problems({ services: { s: {} } }).join()).toContain(
    "services.s.instances: the service has no instance",
  )
  expect(problems({ services: { s: { discover: {} } } }).join()).toContain("names no source")
  expect(problems({ services: { s: { discover: { registry: true } } } })).toEqual([])
})

test("[T-1.4] DNS needs a port for addresses, takes none for SRV, and looks names up, not addresses", () => {
  const dns = (options: object) => problems({ services: { s: { discover: { dns: options } } } }).join()
  expect(dns({ name: "app.test" })).toContain("discover.dns.port: A records have no port")
  expect(dns({ name: "app.test", type: "SRV", port: 80 })).toContain("SRV records say the port themselves")
  expect(dns({ name: "10.0.0.1", port: 80 })).toContain("is an address, not a name")
  expect(dns({ name: "app.test", type: "SRV", refresh: "500ms" })).toContain("must be from 1s to 1h")
  expect(dns({ name: "_http._tcp.app.test", type: "SRV" })).toBe("")
})

test("[T-1.4] found instances over TLS need a name to verify", () => {
  const file = (tls: object) => ({
    services: { s: { tls, discover: { dns: { name: "app.test", port: 443 } } } },
  })
  expect(problems(file({})).join()).toContain("services.s.tls.server_name")
  expect(problems(file({ server_name: "app.test" }))).toEqual([])
})

test("[T-1.4] faults of the section discovery are told at their place", () => {
  const told = problems({
    discovery: {
      allow: ["10.0.0.0/40"],
      dns_servers: ["dns.test", "10.0.0.53:99999"],
      routes: "/api/{name}/*",
    },
  }).join()
  expect(told).toContain("discovery.allow[0]")
  expect(told).toContain("discovery.dns_servers[0]")
  expect(told).toContain("discovery.dns_servers[1]")
  expect(told).toContain("discovery.routes")
  const good = {
    allow: ["127.0.0.0/8", "::1"],
    dns_servers: ["10.0.0.53", "[fd00::53]:53"],
    routes: "/api/{service}/*",
  }
  expect(problems({ discovery: good })).toEqual([])
})

const depends = (graph: Record<string, string[]>) => ({
  services: Object.fromEntries(
    Object.entries(graph).map(([name, on]) => [
      name,
      { instances: [A], depends_on: on.map((service) => ({ service })) },
    ]),
  ),
})

test("[T-6.5] [C-8.8] dependencies in a circle are an error that shows the circle, once", () => {
  expect(problems(depends({ a: ["b"], b: ["c"], c: ["a"] }))).toEqual([
    "services.a.depends_on: dependencies go in a circle: a → b → c → a",
  ])
  expect(problems(depends({ a: ["b", "c"], b: ["c"], c: [] }))).toEqual([])
})

test("[T-6.5] a service depends on others that exist, each once", () => {
  expect(problems(depends({ a: ["a"] })).join()).toContain("cannot depend on itself")
  expect(problems(depends({ a: ["b", "b"], b: [] })).join()).toContain("b is named twice")
  expect(problems(depends({ a: ["bb"], bbb: [] })).join()).toContain('unknown service "bb"')
  const later = { ...depends({ a: ["story"] }), discovery: { routes: "/api/{service}/*" } }
  expect(problems(later)).toEqual([])
})
