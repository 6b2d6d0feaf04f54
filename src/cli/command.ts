import { VERSION } from "../lib/version.ts"
import { EXIT, type Output } from "./output.ts"
import { startEarly } from "./thread.ts"
import { type CommandName, commandUsage, isCommand, unknownCommand, usage, usageError } from "./usage.ts"

/** From the arguments to a command's exit code. */
export async function runCommand(argv: readonly string[], output: Output): Promise<number> {
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
      startEarly()
      // Loaded only when asked for: the other commands answer at once.
      return (await import("./serve.ts")).serve(args)
    case "demo":
      return (await import("./demo.ts")).demo(args, output)
    case "check":
      return (await import("./check.ts")).check(args, output)
    case "explain":
      return (await import("./explain.ts")).explain(args, output)
    case "services":
      return (await import("./services.ts")).services(args, output)
    case "drain":
      return (await import("./drain.ts")).drain(args, output)
    case "ws":
      return (await import("./ws.ts")).ws(args, output)
    case "backup":
      return (await import("./backup.ts")).backup(args, output)
    case "restore":
      return (await import("./restore.ts")).restore(args, output)
    case "schema":
      return (await import("./schema.ts")).schema(args, output)
    case "keygen":
      return (await import("./keygen.ts")).keygen(args, output)
    case "token":
      return (await import("./token.ts")).token(args, output)
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
