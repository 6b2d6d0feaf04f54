import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { decode, encode } from "@msgpack/msgpack"
import { publishOn, worthCompressing } from "../../src/realtime/socket.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { openRealtime } from "../support/realtime_client.ts"
import { until } from "../support/until.ts"
import { bomb, content, deflated, OFFER, RSV1 } from "../support/ws_deflate.ts"
import { type Frame, frame, OPCODE, openRaw } from "../support/ws_raw.ts"
import { startWsService, type WsService } from "../support/ws_service.ts"

setDefaultTimeout(30_000)

const { TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE } = OPCODE
const KB = 1024
const MB = 1024 * KB
const MAX_MESSAGE = 2 * MB
const CHANNELS = "/api/v1/realtime"
const EVERYONE = { anonymous: true }
const LONG = JSON.stringify(Array.from({ length: 100 }, (_, id) => ({ id, name: `Grüße ${id}` })))

let service: WsService
let gateway: GatewayProcess
let usual: GatewayProcess

beforeAll(async () => {
  service = startWsService()
  const config = (websocket: object) => ({
    server: { workers: 1, websocket },
    services: { echo: { instances: [`http://127.0.0.1:${service.port}`] } },
    routes: [{ path: "/echo/*", service: "echo", websocket: "relay" }],
    realtime: {
      anonymous: true,
      max_message: "64KB",
      namespaces: { chat: { subscribe: EVERYONE, publish: EVERYONE } },
    },
  })
  ;[gateway, usual] = await Promise.all([
    startGateway(config({ compression: true, max_message: "2MB" })),
    startGateway(config({})),
  ])
})

afterAll(async () => {
  await endGateways()
  service.stop()
})

const open = (path = "/echo/", headers = OFFER) => openRaw(gateway.port, path, headers)
type Raw = Awaited<ReturnType<typeof open>>

const framesOf = ({ frames }: Raw, ...opcodes: number[]): Frame[] =>
  frames.filter(({ opcode }) => opcodes.includes(opcode))

async function message(client: Raw, at: number): Promise<Frame> {
  await until(() => client.state.closed || framesOf(client, TEXT, BINARY).length > at, "a message")
  return framesOf(client, TEXT, BINARY)[at]!
}

async function closeCode(client: Raw): Promise<number> {
  await until(() => framesOf(client, CLOSE).length > 0, "the close")
  client.socket.destroy()
  return framesOf(client, CLOSE)[0]!.payload.readUInt16BE(0)
}

/** What the service saw of the last connection, when that is over. */
async function lastClosed(path: string) {
  const session = service.sessions.findLast((each) => each.path === path)!
  await until(() => session.closed !== undefined, "the service's end")
  return session.closed!.code
}

/** Most memory the gateway has had resident since `forgetPeak`, bytes. */
function peak(): number {
  return Number(/VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${gateway.pid}/status`, "utf8"))![1]) * KB
}

function forgetPeak(): void {
  writeFileSync(`/proc/${gateway.pid}/clear_refs`, "5")
}

test.each(["/echo/off", CHANNELS])("%s: compression is off unless asked for", async (path) => {
  const client = await openRaw(usual.port, path, OFFER)
  expect(client.state.head).toStartWith("HTTP/1.1 101")
  expect(client.state.head.toLowerCase()).not.toContain("sec-websocket-extensions")
  client.socket.write(frame(TEXT | RSV1, deflated(LONG)))
  expect(await closeCode(client)).toBe(1002)
})

describe("a relay that compresses", () => {
  test("[S-FR4.2] messages from 1 KB on are compressed for who offered it, others go as they are", async () => {
    const client = await open()
    expect(client.state.head.toLowerCase()).toContain("sec-websocket-extensions: permessage-deflate")
    const sent = [LONG, "x".repeat(KB), "x".repeat(KB - 1), "", Buffer.from(LONG)]
    for (const each of sent) client.socket.write(frame(typeof each === "string" ? TEXT : BINARY, each))
    await message(client, sent.length - 1)
    const seen = framesOf(client, TEXT, BINARY)
    expect(seen.map(({ compressed }) => compressed)).toEqual([true, true, false, false, true])
    expect(seen.map(({ opcode }) => opcode)).toEqual([TEXT, TEXT, TEXT, TEXT, BINARY])
    expect(seen.map((each) => content(each).toString())).toEqual(sent.map(String))
    expect(seen[0]!.payload.length).toBeLessThan(LONG.length / 3)
    client.socket.destroy()
  })

  test("who offers nothing gets everything as it is", async () => {
    const client = await open("/echo/", "")
    expect(client.state.head.toLowerCase()).not.toContain("sec-websocket-extensions")
    client.socket.write(frame(TEXT, LONG))
    expect(await message(client, 0)).toMatchObject({ compressed: false, payload: Buffer.from(LONG) })
    client.socket.destroy()
  })

  test("[S-FR4.2] the service gets inflated what came compressed, in fragments with a ping between, or empty", async () => {
    const path = "/echo/fragments"
    const client = await open(path)
    const payload = deflated(LONG)
    client.socket.write(
      Buffer.concat([
        frame(BINARY | RSV1, payload.subarray(0, 100), false),
        frame(PING, "between"),
        frame(CONTINUATION, payload.subarray(100)),
        frame(TEXT | RSV1, deflated("short")),
        frame(TEXT | RSV1, Buffer.from([0])),
        frame(TEXT, "plain"),
      ]),
    )
    await message(client, 3)
    const session = service.sessions.findLast((each) => each.path === path)!
    expect(session.headers["sec-websocket-extensions"]).toBeUndefined()
    expect(session.received).toEqual([Buffer.from(LONG), "short", "", "plain"])
    expect(framesOf(client, PONG)[0]!.payload.toString()).toBe("between")
    client.socket.destroy()
  })

  test("[F-22] nothing is lost or overtakes while a client does not read what is compressed", async () => {
    const client = await open()
    const sent = Array.from({ length: 60 }, (_, i) => `${i} ${randomBytes(75 * KB).toString("hex")}`)
    client.socket.pause()
    for (const each of sent) client.socket.write(frame(TEXT, each))
    await until(() => service.sessions.at(-1)!.received.length >= 20, "the service to be ahead")
    client.socket.resume()
    await message(client, sent.length - 1)
    const seen = framesOf(client, TEXT)
    expect(seen.every(({ compressed }) => compressed)).toBe(true)
    expect(seen.map((each) => content(each).toString()).join() === sent.join()).toBe(true)
    client.socket.destroy()
  })

  test("[F-24] the largest message is counted inflated", async () => {
    const client = await open("/echo/largest")
    client.socket.write(frame(BINARY | RSV1, deflated(Buffer.alloc(MAX_MESSAGE))))
    expect(content(await message(client, 0))).toHaveLength(MAX_MESSAGE)
    client.socket.write(frame(BINARY | RSV1, deflated(Buffer.alloc(MAX_MESSAGE + 1))))
    expect(await closeCode(client)).toBe(1009)
    expect(await lastClosed("/echo/largest")).toBe(1009)
  })

  test("what cannot be inflated closes the connection with 1007", async () => {
    const client = await open("/echo/broken")
    client.socket.write(frame(TEXT | RSV1, Buffer.from("no deflate \xff\xff", "latin1")))
    expect(await closeCode(client)).toBe(1007)
    expect(await lastClosed("/echo/broken")).toBe(1006)
  })
})

describe.each(["/echo/bomb", CHANNELS])("a bomb at %s", (path) => {
  test.each([
    ["whole", Number.POSITIVE_INFINITY],
    ["in fragments", 10 * KB],
  ])("[F-24] 1 GB in 1 MB, %s, ends with 1009 and takes no memory beyond the bound", async (_, size) => {
    const payload = bomb(1024)
    expect(payload.length).toBeLessThan(MAX_MESSAGE)
    const client = await open(path)
    forgetPeak()
    const before = peak()
    for (let at = 0; at < payload.length; at += size) {
      const opcode = at === 0 ? BINARY | RSV1 : CONTINUATION
      client.socket.write(frame(opcode, payload.subarray(at, at + size), at + size >= payload.length))
    }
    expect(await closeCode(client)).toBe(1009)
    expect(peak() - before).toBeLessThan(32 * MB)
    if (path !== CHANNELS)
      expect(service.sessions.findLast((each) => each.path === path)!.received).toEqual([])
  })
})

describe("channels that compress", () => {
  /** One that is in the channel. */
  async function member(headers: string) {
    const client = await open(CHANNELS, headers)
    client.socket.write(frame(TEXT, '{"id":7,"type":"connect"}'))
    client.socket.write(frame(TEXT, '{"id":1,"type":"subscribe","channel":"chat:1"}'))
    await until(
      () => framesOf(client, TEXT, BINARY).some((each) => String(content(each)).includes('"id":1')),
      "the reply",
    )
    return client
  }

  const told = (client: Raw): Frame[] =>
    framesOf(client, TEXT).filter((each) => content(each).toString().includes('"push":"publication"'))

  test("[S-FR4.2] a long publication is compressed for members that offered it, a short one for none", async () => {
    const [offering, plain] = [await member(OFFER), await member("")]
    const publisher = await openRealtime(`ws://127.0.0.1:${gateway.port}${CHANNELS}`)
    await publisher.ask({ type: "connect" })
    for (const data of [LONG, "short"]) await publisher.ask({ type: "publish", channel: "chat:1", data })
    await until(() => told(offering).length === 2 && told(plain).length === 2, "both publications")
    expect(told(offering).map(({ compressed }) => compressed)).toEqual([true, false])
    expect(told(plain).map(({ compressed }) => compressed)).toEqual([false, false])
    const texts = (client: Raw): string[] => told(client).map((each) => content(each).toString())
    expect(texts(offering)).toEqual(texts(plain))
    expect(JSON.parse(texts(offering)[0]!).data).toBe(LONG)
    for (const each of [offering, plain]) each.socket.destroy()
    publisher.seen.socket.close()
  })

  test("long frames of MessagePack are compressed, too", async () => {
    const client = await open(CHANNELS, `${OFFER}Sec-WebSocket-Protocol: gatehouse.msgpack\r\n`)
    const say = (command: object) => client.socket.write(frame(BINARY | RSV1, deflated(encode(command))))
    say({ id: 7, type: "connect" })
    say({ id: 1, type: "subscribe", channel: "chat:2" })
    say({ id: 2, type: "publish", channel: "chat:2", data: LONG })
    const find = (): Frame | undefined => framesOf(client, BINARY).find(({ compressed }) => compressed)
    await until(() => find() !== undefined, "a compressed frame")
    expect(decode(content(find()!))).toMatchObject({ push: "publication", data: LONG })
    client.socket.destroy()
  })

  test("[F-24] the largest command is counted inflated", async () => {
    const client = await open(CHANNELS)
    client.socket.write(frame(TEXT | RSV1, deflated(" ".repeat(64 * KB + 1))))
    expect(await closeCode(client)).toBe(4505)
  })
})

test("a publication for so many that compressing it for each would hold up the others goes as it is", () => {
  const seen: boolean[] = []
  const server = (subscribers: number) => ({
    publish: (_topic: string, _text: string, compress: boolean) => void seen.push(compress),
    subscriberCount: () => subscribers,
  })
  publishOn(server(512), "topic", "x".repeat(4 * KB))
  publishOn(server(513), "topic", "x".repeat(4 * KB))
  publishOn(server(1), "topic", "x".repeat(KB - 1))
  expect(seen).toEqual([true, false, false])
  expect([worthCompressing(2 * MB), worthCompressing(2 * MB + 1)]).toEqual([true, false])
})
