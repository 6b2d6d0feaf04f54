import { randomBytes } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseConfig } from "../config/load.ts"
import { parseCommand } from "./args.ts"
import { describeFindings } from "./config_source.ts"
import { type DemoLine, openDemoLine } from "./demo_line.ts"
import { type DemoServices, startDemoServices } from "./demo_services.ts"
import { EXIT, type Output } from "./output.ts"
import { runGateway } from "./run_gateway.ts"
import { usageError } from "./usage.ts"

const PREFERRED_PORT = 8080
/** How this was started, for lines to copy. */
const PROGRAM = Bun.main.startsWith("/$bunfs/")
  ? process.execPath
  : `${process.execPath} ${join(import.meta.dir, "../main.ts")}`
const ADMIN_TOKEN = "demo-token-not-for-production"

/** `gatehouse demo`: sample services and a gateway before them, with requests to try. Ends with a signal. */
export async function demo(args: readonly string[], output: Output): Promise<number> {
  const parsed = parseCommand(args, {})
  if (!parsed.ok) return usageError("demo", parsed.message, output)
  const services = startDemoServices()
  const line = await openDemoLine()
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-demo-"))
  const loaded = parseConfig(demoConfig(services, line, freePort(PREFERRED_PORT)), "yaml", {}, directory)
  output.err(describeFindings(loaded, "demo"))
  try {
    if (!loaded.ok) return EXIT.cannotStart
    const { config } = loaded
    return await runGateway({
      config,
      load: () => loaded,
      file: undefined,
      output,
      onStarted: ({ port, adminPort }) => {
        line.leadTo(port)
        const [url, admin, unsteady] = [port, adminPort, line.port].map((each) => `http://127.0.0.1:${each}`)
        output.out(guide(url!, admin!, unsteady!))
      },
    })
  } finally {
    line.close()
    services.close()
    rmSync(directory, { recursive: true })
  }
}

/** The preferred port when nobody listens there, else any. */
function freePort(preferred: number): number {
  try {
    Bun.listen({ hostname: "127.0.0.1", port: preferred, socket: { data() {} } }).stop(true)
    return preferred
  } catch {
    return 0 // taken: the system chooses
  }
}

function demoConfig({ hello, slow, flaky, echo }: DemoServices, line: DemoLine, port: number): string {
  return `
server: { host: 127.0.0.1, port: ${port}, workers: 2 }
admin: { port: 0, token: ${ADMIN_TOKEN} }
log: { level: warn }
store: sqlite:./demo.db
auth:
  secret: ${randomBytes(32).toString("base64url")}
  https: off # this demo speaks plain http on loopback
  registration: { enabled: true }
realtime:
  anonymous: true
  namespaces:
    chat:
      subscribe: { anonymous: true }
      publish: { anonymous: true }
      join_leave: true
      messages: { rules: [{ name: crisis, phrases: [end my life], actions: [escalate], category: self_harm, severity: critical }] }
    duty: { subscribe: { anonymous: true } }
safety: { events: { channels: ["duty:team"] } }
services:
  hello:
    instances: [${hello.join(", ")}]
    balance: round_robin
    health: { path: /health, interval: 2s, timeout: 1s }
  slow: { instances: [${slow}], timeout: 1s, retry: { attempts: 1 } }
  flaky:
    instances: [${flaky}]
    timeout: 2s
    breaker: { failure_threshold: 5, min_throughput: 5, recovery_timeout: 3s, half_open_timeout: 2s, failure_window: 10s }
    ejection: { max_percent: 0 }
    retry: { attempts: 1 }
  careful:
    instances: ["http://127.0.0.1:9"]
    retry: { attempts: 1 }
    fallback: { status: 200, headers: { content-type: application/json }, body: '{"message":"a fallback, as the service is down"}' }
  echo: { instances: [${echo}] }
  line: { instances: ["${line.control}"] }
defaults:
  auth: { required: false } # most of this demo is open to anybody
  request_id: {}
  trace: {}
  access_log: {}
  compress: {}
  cors: { origins: ["https://app.example.com"] }
routes:
  - { path: /hello, service: hello, methods: [GET], summary: Greets }
  - { path: /events, service: hello, methods: [GET], summary: Server-sent events }
  - { path: /slow, service: slow, summary: Answers later than its timeout }
  - { path: /flaky, service: flaky, summary: "Fails for a while, then recovers" }
  - { path: /careful, service: careful, summary: Is down and has a fallback }
  - { path: /api/v1/echo/*, service: echo, strip_prefix: /api/v1, summary: Shows what a service receives }
  - path: /api/v0/echo/*
    service: echo
    rewrite: /echo/$1
    summary: The old version of the echo
    deprecated: { since: 2026-01-01, sunset: 2027-01-01, link: "https://example.com/migrate" }
  - { path: /ws, service: echo, websocket: relay, summary: A WebSocket that echoes }
  - path: /players/{id}/characters
    methods: [POST]
    service: echo
    summary: Creates a character
    body_limit: { max: 1KB }
    require_headers: { x-privacy-level: [public, internal] }
    validate:
      params: { type: object, properties: { id: { type: integer, minimum: 1 } } }
      body: { type: object, required: [name], properties: { name: { type: string, minLength: 1 } }, additionalProperties: false }
  - { path: /line/cut, methods: [POST], service: line, summary: Cuts the line by which one chats }
  - { path: /json-only, service: echo, accept: { types: [application/json] }, summary: Offers JSON only }
  - { path: /stories/*, service: echo, auth: { scopes: [read] }, summary: For whoever has signed in }
  - { path: /clinic/*, service: echo, auth: { roles: [admin] }, summary: For a role }
  - path: /users/{id}/diary
    service: echo
    auth: { owner: 'path.id == principal.id' }
    summary: For its owner
  - path: /static
    respond: { status: 200, headers: { content-type: text/plain }, body: "answered by the gateway itself\\n" }
`
}

/** Requests to try; each line works as printed. `unsteady`: another way to `url`, one that can be cut. */
function guide(url: string, admin: string, unsteady: string): string {
  const privacy = `-H 'X-Privacy-Level: public' -H 'Content-Type: application/json'`
  const json = "-H 'Content-Type: application/json'"
  const account = '{"email":"ada@example.com","password":"a waltz of 3 otters"}'
  const steps: readonly (readonly [shows: string, command: string])[] = [
    ["two instances, in turn", `curl -s ${url}/hello ${url}/hello`],
    [
      "what a service receives: identity headers dropped, path rewritten",
      `curl -s '${url}/api/v1/echo/x?y=1' -H 'X-User-Id: forged'`,
    ],
    ["a deprecated version: Deprecation, Sunset and Link", `curl -si ${url}/api/v0/echo/x`],
    ["a service slower than its timeout: 504", `curl -si ${url}/slow`],
    [
      "a failing service: five errors, then the circuit opens (503, Retry-After)",
      `for i in 1 2 3 4 5 6 7; do curl -s -o /dev/null -w '%{http_code}\\n' ${url}/flaky; done; curl -si ${url}/flaky`,
    ],
    ["three seconds later a trial succeeds and it closes", `sleep 3; curl -si ${url}/flaky`],
    ["a service that is down, with a fallback", `curl -si ${url}/careful`],
    ["a stream, event by event", `curl -sN ${url}/events`],
    [
      "validation: every mistake at once",
      `curl -s -X POST ${url}/players/zero/characters ${privacy} -d '{"nick":"x"}'`,
    ],
    ["a required header with an allowed value", `curl -s -X POST ${url}/players/7/characters -d '{}'`],
    ["a valid request", `curl -s -X POST ${url}/players/7/characters ${privacy} -d '{"name":"Ada"}'`],
    [
      "a body over the route's limit: 413",
      `head -c 2000 /dev/zero | curl -s -X POST ${url}/players/7/characters ${privacy} --data-binary @-`,
    ],
    ["no acceptable media type: 406", `curl -s ${url}/json-only -H 'Accept: image/png'`],
    [
      "a preflight the gateway answers",
      `curl -si -X OPTIONS ${url}/hello -H 'Origin: https://app.example.com' -H 'Access-Control-Request-Method: GET'`,
    ],
    ["nobody has said who they are: 401", `curl -si ${url}/stories/1`],
    [
      "an account (the answer does not tell whether there was one)",
      `curl -s ${url}/api/v1/auth/register ${json} -d '${account}'`,
    ],
    [
      "sign in",
      `TOKENS=$(curl -s ${url}/api/v1/auth/login ${json} -d '${account}'); echo "$TOKENS"; field() { echo "$TOKENS" | sed "s/.*\\"$1\\":\\"\\([^\\"]*\\)\\".*/\\1/"; }; TOKEN=$(field access_token)`,
    ],
    [
      "a call: the service is told who it is, by headers no client can forge",
      `curl -s ${url}/stories/1 -H "Authorization: Bearer $TOKEN"`,
    ],
    ["a role is missing: 403", `curl -s ${url}/clinic/rooms -H "Authorization: Bearer $TOKEN"`],
    ["somebody else's diary: 403", `curl -s ${url}/users/somebody/diary -H "Authorization: Bearer $TOKEN"`],
    ["who am I", `curl -s ${url}/api/v1/users/me -H "Authorization: Bearer $TOKEN"`],
    [
      "refresh: a new access token and a new refresh token",
      `TOKENS=$(curl -s ${url}/api/v1/auth/refresh ${json} -d "{\\"refresh_token\\":\\"$(field refresh_token)\\"}"); TOKEN=$(field access_token); echo "$TOKENS"`,
    ],
    ["sign out", `curl -si -X POST ${url}/api/v1/auth/logout -H "Authorization: Bearer $TOKEN"`],
    ["the token is refused from now on: 401", `curl -si ${url}/stories/1 -H "Authorization: Bearer $TOKEN"`],
    ["a method nobody serves: 405 with Allow", `curl -si -X DELETE ${url}/hello`],
    [
      "two ways to write one path: the same decision",
      `curl -s --path-as-is '${url}/x/../hello' '${url}/%68ello'`,
    ],
    ["an ambiguous path: 400", `curl -s '${url}/api/v1/echo/a%2Fb'`],
    ["compression", `curl -s --compressed -o /dev/null -w '%{size_download} bytes\\n' ${url}/docs/json`],
    ["health of the gateway and of what it depends on", `curl -s ${url}/health ${url}/health/dependencies`],
    [
      "a channel: what one publishes, others read (server-sent events; stop with Ctrl-C)",
      `timeout 3 curl -sN '${url}/api/v1/realtime/sse?channel=chat:lobby' & sleep 1; echo hello | ${PROGRAM} ws ${url}/api/v1/realtime --channel chat:lobby; wait`,
    ],
    [
      "a safety event: a phrase in a chat is told at once on another channel (then stop with Ctrl-C)",
      `timeout 3 curl -sN '${url}/api/v1/realtime/sse?channel=duty:team' & sleep 1; echo I want to end my life | ${PROGRAM} ws ${url}/api/v1/realtime --channel chat:lobby; wait`,
    ],
    [
      "metrics (admin port, authenticated)",
      `curl -s ${admin}/metrics -H 'Authorization: Bearer ${ADMIN_TOKEN}' | grep ^gatehouse_requests_total`,
    ],
  ]
  const lines = steps.map(([shows, command]) => `# ${shows}\n${command}\n`)
  return `Gatehouse demo. Clients: ${url}   API reference: ${url}/docs   Stop: Ctrl-C

${lines.join("\n")}
# chat: two terminals, a line in each; write, and Ctrl-D ends it. The first is connected by a way that can be cut
${PROGRAM} ws ${unsteady}/api/v1/realtime --channel chat:lobby
${PROGRAM} ws ${url}/api/v1/realtime --channel chat:lobby

# cut it for 10 s and write in both: the first connects again, gets what it missed, and what it wrote arrives
curl -s -X POST '${url}/line/cut?seconds=10'
`
}
