import { mkdtempSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { CONTENDER_CORE, freePort, type Running, start } from "./process.ts"

/** A proxy under test: listens on a port and passes everything to one upstream. */
export interface Contender {
  readonly name: string
  /** Program it needs; absent ones are skipped and named. */
  readonly needs: string
  open(upstreamPort: number): Promise<{ port: number; process: Running }>
}

const PATH = `${process.env.PATH}:/usr/sbin`
export const has = (program: string): boolean => Bun.which(program, { PATH }) !== null
const which = (program: string): string => Bun.which(program, { PATH }) ?? program

function writeConfig(name: string, text: string): string {
  const path = join(mkdtempSync(join(tmpdir(), "gatehouse-bench-")), name)
  writeFileSync(path, text)
  return path
}

/** nginx deletes its pid file at the end, so that must be a file of its own. */
const nginxCommon = (): string => `worker_processes 1; daemon off; error_log stderr crit;
pid ${join(mkdtempSync(join(tmpdir(), "gatehouse-bench-")), "pid")};
events { worker_connections 8192; }`

/** The upstream of every benchmark: nginx with a small JSON, a 16 KB and a 1 MB body. */
export async function openUpstream(core: string): Promise<{ port: number; process: Running }> {
  const port = freePort()
  const root = mkdtempSync(join(tmpdir(), "gatehouse-bench-"))
  writeFileSync(join(root, "16k"), "x".repeat(16_384))
  writeFileSync(join(root, "1m"), "x".repeat(1_048_576))
  const config = writeConfig(
    "nginx.conf",
    `${nginxCommon()}
http { access_log off; keepalive_requests 100000000; keepalive_timeout 300s;
  server { listen 127.0.0.1:${port} backlog=8192; default_type application/octet-stream; root ${root};
    location /json { default_type application/json; return 200 '{"message":"Hello, World!","id":12345,"ok":true}'; } } }`,
  )
  return { port, process: await start([which("nginx"), "-c", config], port, core) }
}

const nginx: Contender = {
  name: "nginx",
  needs: "nginx",
  async open(upstreamPort) {
    const port = freePort()
    const config = writeConfig(
      "nginx.conf",
      `${nginxCommon()}
http { access_log off; keepalive_requests 100000000; keepalive_timeout 300s;
  upstream up { server 127.0.0.1:${upstreamPort}; keepalive 512; keepalive_requests 100000000; }
  server { listen 127.0.0.1:${port} backlog=8192;
    location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } } }`,
    )
    return { port, process: await start([which("nginx"), "-c", config], port, CONTENDER_CORE) }
  },
}

const haproxy: Contender = {
  name: "HAProxy",
  needs: "haproxy",
  async open(upstreamPort) {
    const port = freePort()
    const config = writeConfig(
      "haproxy.cfg",
      `global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend f
  bind 127.0.0.1:${port}
  option forwardfor
  default_backend b
backend b
  server s 127.0.0.1:${upstreamPort} pool-max-conn 512
`,
    )
    return { port, process: await start([which("haproxy"), "-f", config], port, CONTENDER_CORE) }
  },
}

const caddy: Contender = {
  name: "Caddy",
  needs: "caddy",
  async open(upstreamPort) {
    const port = freePort()
    const config = writeConfig(
      "Caddyfile",
      `{
  admin off
  auto_https off
  log {
    output discard
  }
}
http://127.0.0.1:${port} {
  reverse_proxy 127.0.0.1:${upstreamPort} {
    transport http {
      keepalive_idle_conns_per_host 512
    }
  }
}
`,
    )
    const command = [which("caddy"), "run", "--config", config, "--adapter", "caddyfile"]
    return { port, process: await start(command, port, CONTENDER_CORE, { GOMAXPROCS: "1", HOME: tmpdir() }) }
  },
}

const fetchProxy: Contender = {
  name: "Bun fetch proxy",
  needs: "bun",
  async open(upstreamPort) {
    const port = freePort()
    const script = writeConfig(
      "proxy.ts",
      `Bun.serve({ port: ${port}, hostname: "127.0.0.1", development: false, fetch(request) {
  const url = request.url
  return fetch("http://127.0.0.1:${upstreamPort}" + url.slice(url.indexOf("/", 8)), {
    method: request.method, headers: request.headers, body: request.body, redirect: "manual", decompress: false, signal: request.signal,
  })
} })`,
    )
    return { port, process: await start([process.execPath, script], port, CONTENDER_CORE) }
  },
}

/**
 * The least a proxy on `Bun.serve` can do: no checks, no limits, no timeouts, no errors. What any door on
 * `Bun.serve` costs before it does its work; not a product.
 */
const serveFloor: Contender = {
  name: "Bun.serve floor",
  needs: "bun",
  async open(upstreamPort) {
    const port = freePort()
    const script = writeConfig(
      "floor.ts",
      `const idle = []
const out = Buffer.alloc(65536)
const socket = { open() {}, close() {}, error() {}, drain() {}, data(from, bytes) {
  const end = bytes.indexOf("\\r\\n\\r\\n")
  const lines = bytes.latin1Slice(0, end).split("\\r\\n")
  const response = new Response(bytes.subarray(end + 4), { status: Number(lines[0].slice(9, 12)) })
  for (const line of lines.slice(1)) {
    const colon = line.indexOf(":")
    const name = line.slice(0, colon).toLowerCase()
    if (name !== "content-length" && name !== "connection") response.headers.append(name, line.slice(colon + 2))
  }
  idle.push(from)
  from.data.answer(response)
} }
Bun.serve({ port: ${port}, hostname: "127.0.0.1", development: false, async fetch(request) {
  const path = request.url.slice(request.url.indexOf("/", 8))
  const head = "GET " + path + " HTTP/1.1\\r\\nhost: " + request.headers.get("host") + "\\r\\n\\r\\n"
  const to = idle.pop() ?? await Bun.connect({ hostname: "127.0.0.1", port: ${upstreamPort}, data: {}, socket })
  return new Promise((answer) => { to.data.answer = answer; to.write(out, 0, out.latin1Write(head, 0)) })
} })`,
    )
    return { port, process: await start([process.execPath, script], port, CONTENDER_CORE) }
  },
}

/** The compiled binary with one worker; `extra` is YAML added to the config. */
export function gatehouse(name: string, extra = ""): Contender {
  const binary = join(import.meta.dir, "..", "dist", "gatehouse")
  return {
    name,
    needs: binary,
    async open(upstreamPort) {
      const port = freePort()
      const config = writeConfig(
        "gatehouse.yaml",
        `server: { host: 127.0.0.1, port: ${port}, workers: 1 }
admin: { port: ${freePort()}, token: benchmark-token-0123456789 }
log: { level: warn }
services:
  up: { instances: ["http://127.0.0.1:${upstreamPort}"], pool: { max_connections: 1024, max_idle: 1024 } }
routes:
  - { path: /*, service: up }
${extra}`,
      )
      return { port, process: await start([binary, "serve", "-c", config], port, CONTENDER_CORE) }
    },
  }
}

export const PEERS: readonly Contender[] = [nginx, haproxy, caddy, fetchProxy, serveFloor]
