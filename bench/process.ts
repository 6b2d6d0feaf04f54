import { readFileSync } from "node:fs"
import { availableParallelism } from "node:os"

/** Cores the contender and the load run on; both "0" where the machine has one. */
export const CONTENDER_CORE = "0"
export const LOAD_CORE = availableParallelism() > 1 ? "1" : "0"

/** Kernel clock ticks a second in /proc/PID/stat, which is 100 on every Linux this runs on. */
const TICK_US = 10_000

export interface Running {
  /** All processes of the contender, workers included. */
  pids(): number[]
  stop(): Promise<void>
}

/** A process that has not ended this long after it was asked to is killed. */
const STOP_MS = 3000

/**
 * Starts a command on `core` (or cores, as in "0,1"); resolves when `port` accepts connections. Its standard
 * output goes to `outputFile`; `undefined`: nowhere.
 */
export async function start(
  command: readonly string[],
  port: number,
  core: string,
  env: Readonly<Record<string, string>> = {},
  outputFile?: string,
): Promise<Running> {
  const child = Bun.spawn(["taskset", "-c", core, ...command], {
    stdout: outputFile === undefined ? "ignore" : Bun.file(outputFile),
    stderr: "pipe",
    env: { ...process.env, ...env },
  })
  const deadline = Date.now() + 10_000
  while (!(await accepts(port))) {
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill()
      throw new Error(`starting ${command.join(" ")}: ${await new Response(child.stderr).text()}`)
    }
    await Bun.sleep(20)
  }
  return {
    pids: () => [child.pid, ...descendants(child.pid)],
    async stop() {
      const family = [child.pid, ...descendants(child.pid)]
      child.kill()
      const patience = setTimeout(() => family.forEach(end), STOP_MS)
      await child.exited
      clearTimeout(patience)
    },
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // it has ended meanwhile
  }
}

async function accepts(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } })
    socket.end()
    return true
  } catch {
    return false // not listening yet
  }
}

function descendants(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim()
    return children === ""
      ? []
      : children.split(" ").flatMap((child) => [Number(child), ...descendants(Number(child))])
  } catch {
    return [] // it has ended meanwhile
  }
}

/** CPU used so far by these processes, user and system, in microseconds. */
export function cpuUs(pids: readonly number[]): number {
  let ticks = 0
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks * TICK_US
}

/** Resident memory of these processes in MB. */
export function rssMb(pids: readonly number[]): number {
  let kb = 0
  for (const pid of pids) {
    kb += Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0)
  }
  return kb / 1024
}

/** A free port of this machine. */
export function freePort(): number {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } })
  const { port } = server
  server.stop(true)
  return port
}
