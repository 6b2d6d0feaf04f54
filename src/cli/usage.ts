import { didYouMean } from "../lib/suggest.ts"
import { EXIT, type Output } from "./output.ts"

interface Command {
  readonly arguments: string
  /** One line for the list. */
  readonly summary: string
  readonly details: string
}

const CONFIG = `  -c, --config FILE   YAML, JSON or TOML. Otherwise $GATEHOUSE_CONFIG, then gatehouse.yaml, .yml, .json or
                      .toml in this directory, then the environment alone (<NAME>_SERVICE_URL=…).`

const ADMIN = `${CONFIG}
      --admin URL     the admin port, such as http://10.0.0.5:9080; otherwise that of the config
      --token TOKEN   its token; otherwise $GATEHOUSE_ADMIN_TOKEN, then that of the config`

/** Every command, in the order of the list. */
export const COMMANDS = {
  serve: {
    arguments: "[-c FILE]",
    summary: "run the gateway",
    details: CONFIG,
  },
  check: {
    arguments: "[-c FILE]",
    summary: "report everything that is wrong with the config",
    details: CONFIG,
  },
  explain: {
    arguments: "[-c FILE] METHOD URL [-H 'Name: value']",
    summary: "show which route a request takes and what happens to it",
    details: `${CONFIG}
  -H, --header LINE   a header of the request, such as 'X-Beta: 1'; may be repeated

  URL is absolute or a path; with a path the host is localhost, unless a Host header is given.`,
  },
  services: {
    arguments: "[-c FILE] [--admin URL] [--token TOKEN] [--json]",
    summary: "list services and instances of a running gateway, and how they are",
    details: `${ADMIN}
      --json          as the admin API tells it`,
  },
  drain: {
    arguments: "SERVICE INSTANCE [--undo] [-c FILE] [--admin URL] [--token TOKEN]",
    summary: "send an instance of a running gateway nothing new; what it works on it finishes",
    details: `  INSTANCE            URL or host:port, or the id of a registered one
      --undo          send it requests again
${ADMIN}

  A registered instance drains on all machines that share a Redis, any other on the one that is asked.`,
  },
  demo: {
    arguments: "",
    summary: "run the gateway before sample services, with requests to try",
    details: "  Everything stays in memory and on this machine; stop it with Ctrl-C.",
  },
  ws: {
    arguments: "URL --channel NAME [--token TOKEN]",
    summary: "talk in a channel: lines are published, what others publish is printed",
    details: `  URL                 the realtime endpoint, such as ws://127.0.0.1:8080/api/v1/realtime
      --channel NAME  the channel
      --token TOKEN   who is talking; otherwise $GATEHOUSE_TOKEN

  It connects again when the connection is lost, and prints what was missed. It ends with its input (Ctrl-D).`,
  },
  backup: {
    arguments: "FILE [-c CONFIG] [--force]",
    summary: "copy the store to a file, also while the gateway runs",
    details: `${CONFIG}
      --force         replace FILE if it exists

  Only SQLite; with PostgreSQL use pg_dump.`,
  },
  restore: {
    arguments: "FILE [-c CONFIG]",
    summary: "put a backup in the place of the store; stop the gateway first",
    details: `${CONFIG}

  What was there is kept beside it, as …before-restore. Only SQLite; with PostgreSQL use pg_restore.`,
  },
  schema: {
    arguments: "[--markdown]",
    summary: "print the JSON Schema of the config, for editors",
    details: "  --markdown          print the reference page instead",
  },
  keygen: {
    arguments: "[ALGORITHM] [--kid ID]",
    summary: "make a key that signs tokens",
    details: `  ALGORITHM           ES256 (default), ES384, EdDSA, RS256 or PS256: prints a private key in PEM;
                      HS256: prints a secret
  --kid ID            the key's id; otherwise its thumbprint (a secret has none)

  Standard error tells how to use it: only the key itself goes to standard output.`,
  },
  token: {
    arguments: "--sub ID [--roles a,b] [--scope 'read write'] [--tier T] [--ttl 1h] [-c FILE]",
    summary: "make an access token for development, signed with the config's own key",
    details: `      --sub ID        whom it is for
      --roles a,b     roles of the config
      --scope TEXT    scopes, separated by spaces; otherwise those of the roles
      --tier T        one of the tiers; otherwise the first
      --ttl DURATION  how long it holds: 1h unless given, at most 365d
${CONFIG}

  It belongs to no sign-in and needs no account; POST …/auth/revoke ends it.`,
  },
  version: {
    arguments: "",
    summary: "print the version",
    details: "  The same as --version.",
  },
} as const satisfies Record<string, Command>

export type CommandName = keyof typeof COMMANDS

/** The page of `gatehouse help`. */
export function usage(): string {
  const rows = Object.entries(COMMANDS).map(([name, command]) => {
    const call = `${name} ${command.arguments}`.trim()
    const gap = call.length > 20 ? `\n${" ".repeat(24)}` : " ".repeat(22 - call.length)
    return `  ${call}${gap}${command.summary}`
  })
  return `Gatehouse, an API gateway in one executable.

usage: gatehouse COMMAND [ARGUMENTS]

${rows.join("\n")}
  help [COMMAND]        show this, or more about a command

exit codes: 0 fine, 1 config or usage, 2 cannot start or no answer from the gateway
`
}

/** The page of `gatehouse help COMMAND`. */
export function commandUsage(name: CommandName): string {
  const command: Command = COMMANDS[name]
  return `${callOf(name)}\n\n${command.summary[0]!.toUpperCase()}${command.summary.slice(1)}.\n\n${command.details}\n`
}

function callOf(name: CommandName): string {
  return `usage: gatehouse ${name} ${COMMANDS[name].arguments}`.trim()
}

export function isCommand(word: string): word is CommandName {
  return Object.hasOwn(COMMANDS, word)
}

/** Says what was wrong with the arguments of a command; returns the exit code. */
export function usageError(name: CommandName, message: string, output: Output): number {
  output.err(`gatehouse ${name}: ${message}\n${callOf(name)}\n`)
  return EXIT.usage
}

/** Says that there is no such command; returns the exit code. */
export function unknownCommand(word: string, output: Output): number {
  const near = didYouMean(word, [...Object.keys(COMMANDS), "help"])
  output.err(`gatehouse: unknown command "${word}"${near}\nTry: gatehouse help\n`)
  return EXIT.usage
}
