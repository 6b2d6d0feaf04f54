import { isMainThread } from "node:worker_threads"
import { check } from "./cli/check.ts"
import { EXIT, type Output } from "./cli/output.ts"
import { schema } from "./cli/schema.ts"
import { type CommandName, commandUsage, isCommand, unknownCommand, usage, usageError } from "./cli/usage.ts"
import { VERSION } from "./lib/version.ts"

/** From the arguments to a command's exit code. */
async function main(argv: readonly string[], output: Output): Promise<number> {
  const [word = "help", ...args] = argv
  if (word === "help" || word === "--help" || word === "-h") return help(args[0], output)
  if (word === "--version" || word === "-v") return run("version", args, output)
  if (!isCommand(word)) return unknownCommand(word, output)
  if (args.includes("--help") || args.includes("-h")) return help(word, output)
  return run(word, args, output)
}

async function run(command: CommandName, args: readonly string[], output: Output): Promise<number> {
  switch (command) {
    case "serve":
      // Loaded only when asked for: the other commands answer at once.
      return (await import("./cli/serve.ts")).serve(args)
    case "demo":
      return (await import("./cli/demo.ts")).demo(args, output)
    case "check":
      return check(args, output)
    case "explain":
      return (await import("./cli/explain.ts")).explain(args, output)
    case "schema":
      return schema(args, output)
    case "version":
      if (args.length > 0) return usageError("version", `unexpected argument "${args[0]}"`, output)
      output.out(`gatehouse ${VERSION}\n`)
      return EXIT.fine
  }
}

function help(word: string | undefined, output: Output): number {
  if (word === undefined) output.out(usage())
  else if (isCommand(word)) output.out(commandUsage(word))
  else return unknownCommand(word, output)
  return EXIT.fine
}

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
  void main(process.argv.slice(2), {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
  }).then((code) => {
    process.exitCode = code
  })
}
