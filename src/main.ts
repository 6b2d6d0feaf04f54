import { isMainThread } from "node:worker_threads"
import { runCommand } from "./cli/command.ts"

/** Whoever reads may stop early (`| head`): that is no fault. */
function tolerateClosedPipe(stream: NodeJS.WriteStream): void {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error
  })
}

// A worker thread of the compiled binary has an entry point of its own.
if (isMainThread) {
  tolerateClosedPipe(process.stdout)
  tolerateClosedPipe(process.stderr)
  // Bytecode knows no await at the top level.
  void runCommand(process.argv.slice(2), {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
  }).then((code) => {
    process.exitCode = code
  })
}
