import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const PROGRAM = Bun.which("nginx", { PATH: `${process.env.PATH}:/usr/sbin` }) ?? "nginx"

/** A real nginx of one process that answers every request with its name. */
export interface Nginx {
  readonly port: number
  readonly url: string
  /** Ends it at once, its connections with it. */
  kill(): Promise<void>
  /** Starts it again on the same port. */
  start(): Promise<void>
  /** Requests it has answered since its start. */
  answered(): Promise<number>
}

const started: { kill(): Promise<void>; directory: string }[] = []

/** Ends what a test has left running. For `afterEach`. */
export async function endNginx(): Promise<void> {
  for (const { kill, directory } of started.splice(0)) {
    await kill()
    rmSync(directory, { recursive: true, force: true })
  }
}

/** `under`: a command and its options it is run by, e.g. `["taskset", "-c", "1"]`. */
export async function startNginx(name: string, under: readonly string[] = []): Promise<Nginx> {
  const directory = mkdtempSync(join(tmpdir(), "gatehouse-nginx-"))
  const port = freePort()
  const file = join(directory, "nginx.conf")
  writeFileSync(
    file,
    // One process: a killed master would leave its workers behind.
    `daemon off; master_process off; error_log stderr crit; pid ${join(directory, "pid")};
events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; keepalive_timeout 300s;
  client_body_temp_path ${directory}; proxy_temp_path ${directory}; fastcgi_temp_path ${directory};
  uwsgi_temp_path ${directory}; scgi_temp_path ${directory};
  server { listen 127.0.0.1:${port} backlog=4096; location / { default_type text/plain; return 200 '${name}'; }
    location = /stub_status { stub_status; } } }`,
  )
  let child: Bun.Subprocess | undefined
  // Also when the program ends by an error before it gets to that.
  process.on("exit", () => child?.kill("SIGKILL"))
  const kill = async (): Promise<void> => {
    child?.kill("SIGKILL")
    await child?.exited
  }
  const start = async (): Promise<void> => {
    const now = Bun.spawn([...under, PROGRAM, "-c", file], { stdout: "ignore", stderr: "pipe" })
    child = now
    const deadline = Date.now() + 10_000
    while (!(await listens(port))) {
      if (now.exitCode !== null || Date.now() > deadline)
        throw new Error(`starting nginx: ${await new Response(now.stderr).text()}`)
      await Bun.sleep(10)
    }
  }
  started.push({ kill, directory })
  await start()
  const url = `http://127.0.0.1:${port}`
  const answered = async (): Promise<number> => {
    const status = await (await fetch(`${url}/stub_status`)).text()
    return Number(/^ (?:\d+ ){2}(\d+)/m.exec(status)![1])
  }
  return { port, url, kill, start, answered }
}

async function listens(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } })
    socket.end()
    return true
  } catch {
    return false // not yet
  }
}

/** A port of 127.0.0.1 nobody listens on now. */
export function freePort(): number {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } })
  const { port } = server
  server.stop(true)
  return port
}
