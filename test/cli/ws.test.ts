import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { PassThrough } from "node:stream"
import { ws } from "../../src/cli/ws.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(30_000)
afterEach(endGateways)

const anybody = { subscribe: { anonymous: true }, publish: { anonymous: true } }
const config = {
  realtime: {
    anonymous: true,
    namespaces: { chat: { ...anybody, join_leave: true }, read: { subscribe: { anonymous: true } } },
  },
}

/** Somebody at a terminal. */
function sitDown({ port }: Pick<GatewayProcess, "port">, ...args: string[]) {
  const input = new PassThrough()
  let out = ""
  let err = ""
  const output = {
    out: (text: string) => {
      out += text
    },
    err: (text: string) => {
      err += text
    },
  }
  const code = ws([`ws://127.0.0.1:${port}/api/v1/realtime`, ...args], output, input)
  return {
    code,
    say: (line: string) => void input.write(`${line}\n`),
    leave: () => void input.end(),
    out: () => out,
    err: () => err,
  }
}

test("two people at terminals talk in a channel, and each line comes to both once", async () => {
  const gateway = await startGateway(config)
  const [ada, bob] = [sitDown(gateway, "--channel", "chat:1"), sitDown(gateway, "--channel", "chat:1")]
  await until(() => [ada, bob].every(({ err }) => err().includes("listening to chat:1")), "both")
  ada.say("hello")
  await until(() => [ada, bob].every(({ out }) => out() === "hello\n"), "the first line")
  bob.say("hello yourself")
  await until(() => [ada, bob].every(({ out }) => out() === "hello\nhello yourself\n"), "the answer")
  ada.leave()
  expect(await ada.code).toBe(0)
  await until(() => bob.err().includes("has gone"), "the leaving")
  bob.leave()
  expect(await bob.code).toBe(0)
})

test("what was written while the gateway was away is published when it is back, and nothing is said twice", async () => {
  const gateway = await startGateway(config)
  const ada = sitDown(gateway, "--channel", "chat:1")
  await until(() => ada.err().includes("listening"), "the start")
  await endGateways()
  await until(() => ada.err().includes("trying again"), "the loss")
  ada.say("are you there?")
  await startGateway({ ...config, server: { port: gateway.port } })
  await until(() => ada.err().split("listening").length === 3, "the way back")
  ada.leave()
  expect(await ada.code).toBe(0)
  const poll = async (query: string) => {
    const response = await fetch(`${gateway.url}/api/v1/realtime/poll?channel=chat:1${query}`)
    return (await response.json()) as { since: string; publications: { data: unknown }[] }
  }
  const [epoch] = (await poll("")).since.split(":")
  const all = await poll(`&since=${epoch}:0`)
  expect(all.publications.map(({ data }) => data)).toEqual(["are you there?"])
})

test("a channel that may not be read ends with 2, and a line that may not be published is told", async () => {
  const gateway = await startGateway(config)
  const refused = sitDown(gateway, "--channel", "none:1")
  expect(await refused.code).toBe(2)
  expect(refused.err()).toContain("No namespace of the configuration has such a channel.")
  const reader = sitDown(gateway, "--channel", "read:1")
  await until(() => reader.err().includes("listening"), "the start")
  reader.say("may I?")
  await until(() => reader.err().includes("This is not allowed here."), "the refusal")
  reader.leave()
  expect(await reader.code).toBe(0)
})

test("a call that makes no sense exits 1", async () => {
  const errors: string[] = []
  const output = { out: () => {}, err: (text: string) => void errors.push(text) }
  expect(await ws(["ws://127.0.0.1:1"], output, new PassThrough())).toBe(1)
  expect(await ws(["--channel", "a:b", "ftp://127.0.0.1"], output, new PassThrough())).toBe(1)
  expect(errors[0]).toContain("--channel must name a channel")
  expect(errors[1]).toContain("is no address of a WebSocket")
})
