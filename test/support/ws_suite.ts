import type { Transcript, WsCase } from "./ws_case.ts"

const SCRIPT = `${import.meta.dir}/ws_suite.py`
/** The distribution's own: the tests install the package for it. */
const PYTHON = "/usr/bin/python3"

/** A WebSocket server to play cases against. */
export interface WsTarget {
  readonly name: string
  readonly port: number
  /** Default "/". */
  readonly path?: string
  readonly tls?: boolean
  /** Further fields of the handshake. */
  readonly headers?: Readonly<Record<string, string>>
}

/** By the name of the target, by the number of the case. */
export type Transcripts = Readonly<Record<string, Readonly<Record<string, Transcript>>>>

/** An echo server that is not ours. */
export interface EchoServer {
  readonly port: number
  stop(): Promise<void>
}

type Script = Bun.Subprocess<"pipe", "pipe", "ignore">

function run(role: string, plan: object | undefined): Script {
  const script = Bun.spawn([PYTHON, SCRIPT, role], { stdin: "pipe", stdout: "pipe", stderr: "ignore" })
  if (plan !== undefined) script.stdin.write(JSON.stringify(plan))
  script.stdin.end()
  return script
}

async function startServer(command: readonly string[]): Promise<EchoServer> {
  const server = Bun.spawn([...command], { stdout: "pipe", stderr: "ignore" })
  const { port } = await portOf(server.stdout)
  return {
    port,
    stop: async () => {
      server.kill()
      await server.exited
    },
  }
}

/** Reads the port a script prints first; `rest` is what comes after. */
async function portOf(
  stdout: ReadableStream<Uint8Array>,
): Promise<{ port: number; rest: () => Promise<string> }> {
  const reader = stdout.getReader()
  const decoder = new TextDecoder()
  let text = ""
  const more = async (): Promise<boolean> => {
    const { value, done } = await reader.read()
    if (value !== undefined) text += decoder.decode(value, { stream: true })
    return !done
  }
  while (!text.includes("\n")) if (!(await more())) throw new Error("the server ended before it had a port")
  const end = text.indexOf("\n")
  return {
    port: Number(text.slice(0, end)),
    rest: async () => {
      while (await more());
      return text.slice(end + 1)
    },
  }
}

/** Python's `websockets`. */
export const startPythonEcho = (): Promise<EchoServer> => startServer([PYTHON, SCRIPT, "serve"])
/** `ws` on Node. */
export const startNodeEcho = (): Promise<EchoServer> =>
  startServer(["node", `${import.meta.dir}/ws_echo.mjs`])

/** Plays each case against each target, as a client. */
export async function ask(targets: readonly WsTarget[], cases: readonly WsCase[]): Promise<Transcripts> {
  const script = run("ask", { targets, cases: cases.map(toPlay) })
  return JSON.parse(await new Response(script.stdout).text())
}

function toPlay({ id, steps, finish, offers }: WsCase): object {
  return { id, steps, finish, offers }
}

/** What an echoing client saw of a case. */
export interface ClientSaw {
  readonly messages: readonly string[]
  readonly close: readonly [code: number, reason: string]
}

/** A service that plays one case with each client, by the path `/<target>/<case>`. */
export async function startAnswering(targets: readonly string[], cases: readonly WsCase[]) {
  const script = run("answer", { targets, cases: cases.map(toPlay) })
  const { port, rest } = await portOf(script.stdout)
  return {
    port,
    transcripts: async (): Promise<Transcripts> => JSON.parse(await rest()),
    stop: () => script.kill(),
  }
}

/** Echoing clients of Python's `websockets`, one a case and target. */
export async function echoAll(
  targets: readonly WsTarget[],
  cases: readonly WsCase[],
): Promise<Readonly<Record<string, Readonly<Record<string, ClientSaw>>>>> {
  const script = run("echo", { targets, cases: cases.map(({ id }) => id) })
  return JSON.parse(await new Response(script.stdout).text())
}

/**
 * A client that sends pings as fast as they are taken and reads none of the answers. With `pings`, a number: until no more
 * is taken for a second, `held` of them; then it reads, too.
 */
export function floodWithPings(port: number, path: string, pings?: number) {
  const script = run("flood", { port, path, ...(pings !== undefined && { pings }) })
  return {
    ended: script.exited,
    stop: () => script.kill(),
    told: async (): Promise<{ held: number; pongs: number }> =>
      JSON.parse(await new Response(script.stdout).text()),
  }
}

/** What is wrong with the way a case ended; undefined: nothing. */
export function judge(each: WsCase, seen: Transcript | undefined): string | undefined {
  const { expected, loose } = each
  if (seen?.messages === undefined) return `no handshake: ${JSON.stringify(seen)}`
  const code = seen.close === null ? 1006 : seen.close[0]
  // Of what may stay unanswered, the first ones may be answered all the same.
  const messages = loose === true ? expected.messages.slice(0, seen.messages.length) : expected.messages
  const right =
    seen.violation === null &&
    seen.end === "closed" &&
    expected.close.includes(code) &&
    Bun.deepEquals(seen.messages, messages) &&
    (Bun.deepEquals(seen.pongs, expected.pongs) || (code === 1007 && seen.pongs.length === 0))
  return right ? undefined : JSON.stringify({ expected, seen })
}

/** Codes that come with the words of whoever failed the connection. */
const FAILURES: ReadonlySet<number> = new Set([1002, 1007, 1009])

/** What of a transcript must be the same with and without a gateway between. */
export function observed(each: WsCase, seen: Transcript): object {
  const { messages, pongs, pings, close, end, violation, survived } = seen
  return {
    messages: each.loose === true ? [] : messages,
    pongs,
    pings,
    close: close !== null && FAILURES.has(close[0]) ? [close[0]] : close,
    end,
    violation,
    survived,
  }
}
