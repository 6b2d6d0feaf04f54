import { afterAll, describe, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseConfig } from "../../src/config/load.ts"
import { AUTHORITY, SERVICE_CERTIFICATE, SERVICE_KEY } from "../support/certificates.ts"

const directory = mkdtempSync(join(tmpdir(), "gatehouse-check-"))
writeFileSync(join(directory, "cert.pem"), SERVICE_CERTIFICATE)
writeFileSync(join(directory, "key.pem"), SERVICE_KEY)
writeFileSync(join(directory, "other.pem"), AUTHORITY)
writeFileSync(join(directory, "text.pem"), "no certificate")
afterAll(() => rmSync(directory, { recursive: true }))

function findings(text: string): { problems: string[]; warnings: string[] } {
  const loaded = parseConfig(text, "yaml", {}, directory)
  const lines = (list: readonly { path: string; message: string }[]) =>
    list.map((each) => `${each.path}: ${each.message}`)
  return { problems: loaded.ok ? [] : lines(loaded.problems), warnings: lines(loaded.warnings) }
}

const problems = (text: string) => findings(text).problems
const A = "services: { a: { instances: [http://127.0.0.1:8001] } }\n"
const route = (keys: string) => problems(`${A}routes: [{ ${keys} }]`)
const service = (keys: string) =>
  problems(
    `services: { a: { instances: [http://127.0.0.1:8001], ${keys} } }\nroutes: [{ path: /, service: a }]`,
  )

describe("routes", () => {
  const cases: [name: string, keys: string, wanted: string][] = [
    [
      "neither service nor respond",
      "path: /",
      "routes[0]: the route has neither service nor respond; give it one",
    ],
    [
      "both",
      "path: /, service: a, respond: {}",
      "routes[0].respond: the route has both service and respond; keep one",
    ],
    [
      "a parameter twice",
      'path: "/{id}/{id}", service: a',
      'routes[0].path: "/{id}/{id}" has the parameter id twice',
    ],
    [
      "* in the middle",
      "path: /a/*/b, service: a",
      'routes[0].path: "/a/*/b" has * before its last segment; * may only stand at the end',
    ],
    [
      "a bad host",
      'path: /, service: a, hosts: ["a:80"]',
      'routes[0].hosts[0]: "a:80" is no host name; write api.example.com, or *.example.com for any one label, without a port',
    ],
    [
      "a reference to nothing",
      'path: "/{id}/*", service: a, rewrite: /x/$3',
      "routes[0].rewrite: $3 refers to nothing: the path captures $1 to $2",
    ],
    [
      "a foreign prefix",
      "path: /api/*, service: a, strip_prefix: /ap",
      "routes[0].strip_prefix: is no leading part of the path /api/*",
    ],
    [
      "prefix and rewrite",
      "path: /a/*, service: a, strip_prefix: /a, rewrite: /$1",
      "routes[0].rewrite: the route has both strip_prefix and rewrite; keep one",
    ],
    [
      "a socket without service",
      "path: /, respond: {}, websocket: relay",
      "routes[0].websocket: websocket needs a service; this route answers itself with respond",
    ],
    [
      "a socket without GET",
      "path: /, service: a, methods: [POST], websocket: relay",
      "routes[0].websocket: a WebSocket handshake is a GET; add GET to methods",
    ],
    [
      "no time",
      "path: /, service: a, timeout: 0",
      "routes[0].timeout: a timeout of 0 would fail every request",
    ],
    [
      "a split header",
      'path: /, respond: { headers: { x-a: "1\\r\\nx-b: 2" } }',
      "routes[0].respond.headers.x-a: cannot be a header value: no line breaks, controls, outer spaces or characters beyond Latin-1; at most 8 KB",
    ],
    [
      "own and dropped",
      "path: /, service: a, request_id: {}, without: [request_id]",
      "routes[0].without[0]: the route both has request_id and drops it; keep one",
    ],
  ]
  for (const [name, keys, wanted] of cases) {
    test(`${name}: the route is refused`, () => expect(route(keys)).toEqual([wanted]))
  }

  test("the same path under other parameter names, with a method in common, is a duplicate", () => {
    const text = (methods: string) =>
      `${A}routes:\n  - { path: "/u/{id}", service: a, methods: [GET, PUT] }\n  - { path: "/u/:name", service: a, methods: ${methods} }`
    expect(problems(text("[PUT, POST]"))).toEqual([
      "routes[1].path: the same path, methods, hosts and headers as routes[0] (/u/{id})",
    ])
    expect(problems(text("[POST]"))).toEqual([])
    expect(problems(text("[]"))).toEqual([])
  })

  test("other hosts or headers make another route", () => {
    const text = (more: string) =>
      `${A}routes:\n  - { path: /, service: a, hosts: [A.example] }\n  - { path: /, service: a, ${more} }`
    expect(problems(text("hosts: [b.example]"))).toEqual([])
    expect(problems(text('hosts: [a.example], headers: { x: "1" }'))).toEqual([])
    expect(problems(text("hosts: [b.example, a.example]"))).toHaveLength(1)
  })

  test("[F-62] the cross-checks of policies run, once for an inherited one", () => {
    const text = `${A}defaults: { cors: { origins: ["*"], credentials: true } }\nroutes: [{ path: /a, service: a }, { path: /b, service: a }]`
    const found = problems(text)
    expect(found).toHaveLength(1)
    expect(found[0]).toStartWith("defaults.cors: ")
  })

  test("a broken route hides nothing that is wrong elsewhere", () => {
    expect(problems(`${A}routes: [{ path: 7, service: a }, { path: /, service: b }]`)).toEqual([
      "routes[0].path: expected a path that starts with /",
      'routes[1].service: unknown service "b"',
    ])
  })
})

describe("services", () => {
  const cases: [name: string, keys: string, wanted: string][] = [
    [
      "no recovery",
      "breaker: { recovery_timeout: 0 }",
      "services.a.breaker.recovery_timeout: with 0 the circuit would never stay open",
    ],
    [
      "no trial",
      "breaker: { half_open_timeout: 0 }",
      "services.a.breaker.half_open_timeout: with 0 no trial could succeed",
    ],
    [
      "no window",
      "breaker: { failure_window: 0 }",
      "services.a.breaker.failure_window: with 0 no failure would ever be counted",
    ],
    [
      "a tiny window",
      "breaker: { failure_window: 10ms }",
      "services.a.breaker.failure_window: must be at least 1s to count anything",
    ],
    [
      "impossible throughput",
      "breaker: { min_throughput: 1000000, failure_window: 1s }",
      "services.a.breaker.min_throughput: needs 1000000 requests a second within failure_window: the circuit would never open",
    ],
    [
      "an attempt beyond the whole",
      "timeout: 5s, retry: { per_try_timeout: 6s }",
      "services.a.retry.per_try_timeout: is longer than the timeout of 5s",
    ],
    [
      "waits that shrink",
      "retry: { backoff: 1s }",
      "services.a.retry.max_backoff: is shorter than backoff (1s)",
    ],
    [
      "a wait that takes all",
      "timeout: 1s, retry: { backoff: 2s, max_backoff: 3s }",
      "services.a.retry.backoff: leaves no time for a retry within the timeout of 1s",
    ],
    [
      "checks that pile up",
      "health: { path: /, interval: 2s, timeout: 2s }",
      "services.a.health.timeout: must be shorter than the interval of 2s, or checks pile up",
    ],
    [
      "itself as fallback",
      "fallback: { service: a }",
      "services.a.fallback.service: a service cannot be its own fallback",
    ],
    ["an unknown fallback", "fallback: { service: b }", 'services.a.fallback.service: unknown service "b"'],
    [
      "TLS settings for plain instances",
      "tls: {}",
      "services.a.tls: no instance uses https; write https:// or leave tls out",
    ],
    [
      "ejections that shrink",
      "ejection: { base_time: 10m }",
      "services.a.ejection.max_time: is shorter than base_time (10m)",
    ],
  ]
  for (const [name, keys, wanted] of cases) {
    test(`${name}: the service is refused`, () => expect(service(keys)).toEqual([wanted]))
  }

  test("a short timeout does not clash with retry defaults nobody wrote", () => {
    expect(service("timeout: 20ms")).toEqual([])
  })

  test("instances that are malformed, the same or of both kinds are refused", () => {
    const instances = (list: string) =>
      problems(`services: { a: { instances: [${list}] } }\nroutes: [{ path: /, service: a }]`)
    for (const bad of [
      "ftp://a",
      "a:80",
      "http://",
      "http://a/x",
      "http://a?x",
      "http://a:0",
      "http://a:99999",
      "unix:run.sock",
      "file:///etc/passwd",
    ]) {
      expect(instances(`"${bad}"`)).toHaveLength(1)
    }
    expect(instances("http://a, http://A:80/")[0]).toContain("the same instance as instances[0]")
    expect(instances("http://a, unix:/run/a.sock")[0]).toContain("cannot be mixed")
    expect(instances('http://a, https://b:1, "http://[::1]:8"')).toEqual([])
  })

  test("fallbacks in a circle are refused", () => {
    const text = `services:
  a: { instances: [http://a], fallback: { service: b } }
  b: { instances: [http://b], fallback: { service: c } }
  c: { instances: [http://c], fallback: { service: a } }`
    expect(problems(text)[0]).toBe("services.a.fallback.service: fallbacks go in a circle: a → b → c → a")
  })

  test("an authority that cannot be read is refused", () => {
    const text = (file: string) => `services: { a: { instances: [https://a], tls: { ca: ${file} } } }`
    expect(problems(text("none.pem"))).toEqual(["services.a.tls.ca: there is no such file"])
    expect(problems(text("text.pem"))).toEqual(["services.a.tls.ca: the file is not a PEM certificate"])
    expect(problems(text("other.pem"))).toEqual([])
  })

  test("what works but perhaps not as meant is a warning", () => {
    const { warnings } = findings(
      "services: { a: { instances: [http://a], hash_by: ip, retry: { on: [timeout] }, breaker: { half_open_timeout: 1s } } }",
    )
    expect(warnings.map((each) => each.split(":")[0])).toEqual([
      "services.a.breaker.half_open_timeout",
      "services.a.retry.on",
      "services.a.hash_by",
      "services.a",
      "routes",
    ])
  })
})

describe("server", () => {
  const cases: [name: string, keys: string, wanted: string][] = [
    [
      "HTTP/2 without TLS",
      "server: { http2: true }",
      "server.http2: browsers and clients speak HTTP/2 over TLS only; set tls",
    ],
    [
      "a redirect without TLS",
      "server: { redirect_port: 80 }",
      "server.redirect_port: there is nothing to redirect to without tls",
    ],
    [
      "one port for both",
      "server: { port: 9080 }",
      "admin.port: is the same as server.port; operators need a port of their own",
    ],
    [
      "a malformed range",
      'server: { trusted_proxies: ["10.0.0.0/33"] }',
      "server.trusted_proxies[0]: is neither an address nor a range; write 10.0.0.1 or 10.0.0.0/8",
    ],
    [
      "an idle time the runtime cannot keep",
      "server: { keep_alive_timeout: 5s }",
      "server.keep_alive_timeout: must be from 8s to 255s",
    ],
    [
      "a WebSocket message larger than the runtime takes",
      "server: { websocket: { max_message: 1GB } }",
      "server.websocket.max_message: must be from 1B to 128MB",
    ],
  ]
  for (const [name, keys, wanted] of cases) {
    test(`${name} is refused`, () => expect(problems(keys)).toEqual([wanted]))
  }

  test("one port on two addresses is fine", () => {
    expect(problems("server: { host: 192.0.2.1, port: 9080 }")).toEqual([])
  })

  test("TLS files must be there, be PEM and belong together", () => {
    const tls = (cert: string, key: string) => problems(`server: { tls: { cert: ${cert}, key: ${key} } }`)
    expect(tls("cert.pem", "key.pem")).toEqual([])
    expect(tls("other.pem", "key.pem")).toEqual([
      "server.tls.key: does not belong to the certificate in server.tls.cert",
    ])
    expect(tls("text.pem", "none.pem")).toEqual([
      "server.tls.cert: the file is not a PEM certificate",
      "server.tls.key: there is no such file",
    ])
  })

  test("[F-64] the authorities of client certificates must be there and be PEM", () => {
    const ca = (file: string) =>
      problems(`server: { tls: { cert: cert.pem, key: key.pem, client_ca: ${file} } }`)
    expect(ca("cert.pem")).toEqual([])
    expect(ca("none.pem")).toEqual(["server.tls.client_ca: there is no such file"])
    expect(ca("text.pem")).toEqual(["server.tls.client_ca: the file is not PEM certificates"])
    expect(ca("key.pem")).toEqual(["server.tls.client_ca: the file is not PEM certificates"])
  })

  test("client certificates and HTTP/2 exclude each other", () => {
    expect(
      problems("server: { http2: true, tls: { cert: cert.pem, key: key.pem, client_ca: cert.pem } }"),
    ).toEqual([
      "server.http2: cannot be had together with tls.client_ca, whose port speaks HTTP/1.1 only; leave http2 out",
    ])
  })

  test("[F-64] a header for certificates needs trusted proxies and a name it can have", () => {
    const header = (keys: string) => problems(`server: { ${keys} }`)
    const trusted = "trusted_proxies: [10.0.0.1]"
    expect(header(`${trusted}, client_cert_header: Client-Cert, client_cert_ca: cert.pem`)).toEqual([])
    expect(header("client_cert_header: Client-Cert")).toEqual([
      "server.client_cert_header: is believed of trusted proxies only, and there are none; set server.trusted_proxies",
    ])
    for (const name of ["Authorization", "X-User-Id", "Host", '"a b"'])
      expect(header(`${trusted}, client_cert_header: ${name}`)[0]).toStartWith(
        "server.client_cert_header: cannot carry a certificate; write Client-Cert",
      )
    expect(header("client_cert_ca: cert.pem")).toEqual([
      "server.client_cert_ca: has no effect without server.client_cert_header",
    ])
  })
})

test("more services or instances than the shared memory holds are refused at once", () => {
  const urls = (count: number, port: number) =>
    Array.from({ length: count }, (_, i) => `http://127.0.${port}.${i % 250}:${1000 + i}`).join(", ")
  const many = Array.from({ length: 5 }, (_, i) => `  s${i}: { instances: [${urls(1000, i)}] }`).join("\n")
  expect(problems(`services:\n${many}\nroutes: []`)).toEqual([
    "services: there are 5000 instances; at most 4096 fit one gateway",
  ])
  const names = Array.from({ length: 1025 }, (_, i) => `  s${i}: { instances: [http://127.0.0.1:80] }`).join(
    "\n",
  )
  expect(problems(`services:\n${names}\nroutes: []`)).toEqual([
    "services: there are 1025 services; at most 1024 fit one gateway",
  ])
})
