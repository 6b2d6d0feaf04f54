/** Keeps this process, all its threads, to one core, as `taskset` names it; the result lets it run anywhere again. */
export function pinThisProcess(core: string): () => void {
  const before = /: (\S+)$/m.exec(taskset("-cp", `${process.pid}`))![1]!
  taskset("-acp", core, `${process.pid}`)
  return () => void taskset("-acp", before, `${process.pid}`)
}

function taskset(...args: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["taskset", ...args])
  if (exitCode !== 0) throw new Error(`taskset ${args.join(" ")}: ${stderr}`)
  return stdout.toString()
}
