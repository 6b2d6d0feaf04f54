import { existsSync, readdirSync, readFileSync } from "node:fs"
import { until } from "./until.ts"

/** Kernel clock ticks a second in /proc/PID/stat, which is 100 on every Linux this runs on. */
const TICKS_PER_SECOND = 100

/** Resident memory of a process in MB; 0 when it has just ended. */
export function rssMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024
}

/** CPU time a process has used so far, user and system, in milliseconds. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND
}

/** Open file descriptors of a process. */
export function openFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** Watches the resident memory of a process; `stop` tells the highest value seen, in MB. */
export function watchRss(pid: number, everyMs = 50): { stop(): number } {
  let peak = rssMb(pid)
  const timer = setInterval(() => {
    if (existsSync(`/proc/${pid}`)) peak = Math.max(peak, rssMb(pid))
    else clearInterval(timer)
  }, everyMs)
  return {
    stop() {
      clearInterval(timer)
      return Math.max(peak, rssMb(pid))
    },
  }
}

/** Waits until a process that is asked for nothing uses less than a fifth of a core. */
export async function atRest(pid: number): Promise<void> {
  let [cpu, at] = [cpuMs(pid), performance.now()]
  await until(
    () => {
      const spanMs = performance.now() - at
      if (spanMs < 250) return false
      const share = (cpuMs(pid) - cpu) / spanMs
      ;[cpu, at] = [cpuMs(pid), performance.now()]
      return share < 0.2
    },
    "the gateway to come to rest",
    10_000,
  )
}
