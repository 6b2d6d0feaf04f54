import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { parseHostPattern, parsePattern } from "../../src/config/pattern.ts"
import { compareSpecificity, matchPattern } from "../../src/gateway/match.ts"
import { type Matchable, RouteTable } from "../../src/gateway/routes.ts"
import { makeExchange, makeFields } from "../support/exchange.ts"

interface Named extends Matchable {
  readonly name: string
}

interface Options {
  methods?: string[]
  hosts?: string[]
  headers?: Record<string, string>
}

function route(path: string, options: Options = {}): Named {
  const pattern = parsePattern(path)
  if (typeof pattern === "string") throw new Error(pattern)
  const hosts = (options.hosts ?? []).map((host) => {
    const parsed = parseHostPattern(host)
    if (typeof parsed === "string") throw new Error(parsed)
    return parsed
  })
  const name = [
    path,
    ...(options.methods ?? []),
    ...(options.hosts ?? []),
    ...Object.keys(options.headers ?? {}),
  ].join(" ")
  return {
    name,
    pattern,
    methods: new Set(options.methods),
    hosts,
    headers: Object.entries(options.headers ?? {}),
  }
}

function find(
  routes: readonly Named[],
  method: string,
  path: string,
  host = "any.test",
  headers: Record<string, string> = {},
) {
  const found = new RouteTable(routes).find(method, host, path, makeFields(headers))
  return found.kind === "route"
    ? found.route.name
    : found.kind === "method_not_allowed"
      ? found.allow
      : undefined
}

describe("route table", () => {
  test("[T-1.1 S-FR1 V-gw.1 I-core.2] literal beats parameter beats wildcard, whatever the order in config", () => {
    const routes = [
      route("/*"),
      route("/a/*"),
      route("/a/:id"),
      route("/a/list"),
      route("/a/:id/b"),
      route("/a/list/*"),
    ]
    for (const order of [routes, [...routes].reverse()]) {
      expect(find(order, "GET", "/a/list")).toBe("/a/list")
      expect(find(order, "GET", "/a/7")).toBe("/a/:id")
      expect(find(order, "GET", "/a/7/b")).toBe("/a/:id/b")
      expect(find(order, "GET", "/a/list/b")).toBe("/a/list/*")
      expect(find(order, "GET", "/a/7/c")).toBe("/a/*")
      expect(find(order, "GET", "/zzz")).toBe("/*")
      expect(find(order, "GET", "/")).toBe("/*")
    }
  })

  test("a trailing wildcard also matches its bare prefix, but no longer word", () => {
    const routes = [route("/api/v1/context/*")]
    expect(find(routes, "GET", "/api/v1/context")).toBe("/api/v1/context/*")
    expect(find(routes, "GET", "/api/v1/context/")).toBe("/api/v1/context/*")
    expect(find(routes, "GET", "/api/v1/contexts")).toBeUndefined()
  })

  test("[T-2.4 V-gw.4 C-12.4] /api/v1 and /api/v2 stand side by side", () => {
    const routes = [route("/api/v1/*"), route("/api/v2/*")]
    expect(find(routes, "GET", "/api/v1/x")).toBe("/api/v1/*")
    expect(find(routes, "GET", "/api/v2/x")).toBe("/api/v2/*")
    expect(find(routes, "GET", "/api/v3/x")).toBeUndefined()
  })

  test("within one path: exact host, wildcard host, any host; then more headers", () => {
    const routes = [
      route("/x"),
      route("/x", { hosts: ["*.example.com"] }),
      route("/x", { hosts: ["api.example.com"] }),
      route("/x", { hosts: ["api.example.com"], headers: { "x-beta": "1" } }),
    ]
    expect(find(routes, "GET", "/x", "other.test")).toBe("/x")
    expect(find(routes, "GET", "/x", "www.example.com")).toBe("/x *.example.com")
    expect(find(routes, "GET", "/x", "a.b.example.com")).toBe("/x")
    expect(find(routes, "GET", "/x", "api.example.com")).toBe("/x api.example.com")
    expect(find(routes, "GET", "/x", "api.example.com", { "x-beta": "1" })).toBe("/x api.example.com x-beta")
  })

  test("a route whose host does not fit steps aside for a less specific path", () => {
    const routes = [route("/a/list", { hosts: ["one.test"] }), route("/a/:id"), route("/*")]
    expect(find(routes, "GET", "/a/list", "two.test")).toBe("/a/:id")
    expect(find(routes, "GET", "/a/list", "one.test")).toBe("/a/list one.test")
  })

  test("[T-2.2] a method nobody serves gets the methods of every route of the path", () => {
    const routes = [route("/a/:id", { methods: ["GET"] }), route("/a/*", { methods: ["POST"] })]
    expect(find(routes, "GET", "/a/1")).toBe("/a/:id GET")
    expect(find(routes, "HEAD", "/a/1")).toBe("/a/:id GET")
    expect(find(routes, "POST", "/a/1")).toBe("/a/* POST")
    expect(find(routes, "DELETE", "/a/1")).toEqual(["GET", "HEAD", "POST", "OPTIONS"])
    expect(find([route("/a")], "TRACE", "/a")).toEqual([
      "GET",
      "HEAD",
      "POST",
      "PUT",
      "PATCH",
      "DELETE",
      "OPTIONS",
    ])
  })

  test("the router and the documented order agree on any set of patterns and any path", () => {
    const segment = fc.constantFrom("a", "b", "ab", ":x", ":y", "abc")
    const pattern = fc
      .tuple(fc.array(segment, { maxLength: 4 }), fc.boolean())
      .map(([parts, wild]) => `/${[...new Set(parts), ...(wild ? ["*"] : [])].join("/")}`)
    const paths = fc
      .array(fc.constantFrom("a", "b", "ab", "abc", "z", ""), { maxLength: 5 })
      .map((parts) => `/${parts.join("/")}`.replace(/\/+/g, "/"))
    fc.assert(
      fc.property(
        fc.uniqueArray(pattern, { maxLength: 8, selector: (text) => text.replace(/:\w+/g, ":") }),
        paths,
        (texts, path) => {
          const routes = texts.map((text) => route(text))
          const expected = routes
            .filter((each) => matchPattern(each.pattern, path) !== undefined)
            .sort((a, b) => compareSpecificity(a.pattern, b.pattern))[0]?.name
          expect(find(routes, "GET", path)).toBe(expected)
        },
      ),
      { numRuns: 5000 },
    )
  })

  test("[T-2.1] parameters are decoded once and named as in config", () => {
    const pattern = parsePattern("/players/{id}/characters/:name/*")
    if (typeof pattern === "string") throw new Error(pattern)
    const captures = matchPattern(pattern, "/players/7/characters/J%C3%BCrgen%2520/x/y")!
    const exchange = makeExchange()
    exchange.captures = captures
    exchange.captureNames = pattern.parameters
    expect({ ...exchange.params }).toEqual({ id: "7", name: "Jürgen%20", "*": "x/y" })
  })

  test("[F-55] a literal of config matches every spelling of itself", () => {
    const routes = [route("/caf\u00e9/%7Euser/a b")]
    expect(find(routes, "GET", "/caf%C3%A9/~user/a%20b")).toBeDefined()
    expect(parsePattern("/a%zz")).toContain("no path can have")
    expect(parsePattern("/a%00")).toContain("no path can have")
    expect(parsePattern("/a/%2E%2E/b")).toContain("no path can have")
  })

  test("10,000 routes are compiled and found in moments", () => {
    const routes = Array.from({ length: 10_000 }, (_, i) => route(`/svc${i}/:id/*`))
    const table = new RouteTable(routes)
    const found = table.find("GET", "h", "/svc9999/1/z", makeFields())
    expect(found.kind === "route" && found.route.name).toBe("/svc9999/:id/*")
  })
})
