import { join } from "node:path"

const WORK_MS = 5
/** Requests within a second that show that an instance is in use again. */
const IN_USE = 5

/** An instance of a service as a process of its own. */
export class FailingInstance {
  #child: Bun.Subprocess<"pipe", "pipe", "inherit">
  readonly port: number

  private constructor(child: Bun.Subprocess<"pipe", "pipe", "inherit">, port: number) {
    this.#child = child
    this.port = port
  }

  /** On a core of `core`, as taskset has it. */
  static async start(core: string): Promise<FailingInstance> {
    const child = spawn(0, core)
    return new FailingInstance(child, await portOf(child))
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  signal(name: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(name)
  }

  /** From now on it answers with this, health checks too. */
  answer(status: number): void {
    this.#child.stdin.write(`${status}\n`)
    this.#child.stdin.flush()
  }

  /** After it was killed: resolves when it listens again, on the same port. */
  async startAgain(core: string): Promise<void> {
    await this.#child.exited
    this.#child = spawn(this.port, core)
    await portOf(this.#child)
  }

  /** When, by the wall clock, it was first in use after `from`. */
  async inUseAfter(from: number, deadlineMs: number): Promise<number | undefined> {
    const end = Date.now() + deadlineMs
    while (Date.now() < end) {
      const served = (await (await fetch(`${this.url}/served`)).json()) as number[]
      const after = served.filter((at) => at > from)
      const found = after.findIndex((at, i) => (after[i + IN_USE - 1] ?? Infinity) - at <= 1000)
      if (found >= 0) return after[found]
      await Bun.sleep(200)
    }
    return undefined
  }

  async end(): Promise<void> {
    this.#child.kill("SIGKILL")
    await this.#child.exited
  }
}

function spawn(port: number, core: string): Bun.Subprocess<"pipe", "pipe", "inherit"> {
  const script = join(import.meta.dir, "instance_service.ts")
  return Bun.spawn(["taskset", "-c", core, process.execPath, script, `${port}`, `${WORK_MS}`], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  })
}

async function portOf(child: Bun.Subprocess<"pipe", "pipe", "inherit">): Promise<number> {
  const { value } = await child.stdout.getReader().read()
  return Number(new TextDecoder().decode(value))
}
