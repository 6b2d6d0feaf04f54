// First, before the rest is evaluated.
import "./cli/jit.ts"
import { runCommand } from "./cli/command.ts"

/** Writes to a stream of the process, which is made at the first text: it takes as long as the rest of the start. */
function writeTo(name: "stdout" | "stderr"): (text: string) => void {
  let stream: NodeJS.WriteStream | undefined
  return (text) => {
    if (stream === undefined) {
      stream = process[name]
      // Whoever reads may stop early (`| head`): that is no fault.
      stream.on("error", (error: NodeJS.ErrnoException) => {
        if (error.code !== "EPIPE") throw error
      })
    }
    stream.write(text)
  }
}

// A worker thread of the compiled binary has an entry point of its own.
if (Bun.isMainThread)
  process.exitCode = await runCommand(process.argv.slice(2), {
    out: writeTo("stdout"),
    err: writeTo("stderr"),
  })
