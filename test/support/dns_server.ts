import { createSocket } from "node:dgram"

export type DnsRecord =
  | { readonly type: "A"; readonly address: string; readonly ttl: number }
  | { readonly type: "AAAA"; readonly address: string; readonly ttl: number }
  | {
      readonly type: "SRV"
      readonly priority: number
      readonly weight: number
      readonly port: number
      readonly target: string
      readonly ttl: number
    }

/** A name server on a free port, for a few kinds of records. */
export interface DnsServer {
  /** As config has it. */
  readonly address: string
  /** By name in lower case; a name that is not there is NXDOMAIN. */
  readonly records: Map<string, readonly DnsRecord[]>
  /** What it does with questions: answers, says SERVFAIL, or says nothing. */
  mode: "answer" | "fail" | "silent"
  /** Questions so far, as "type name". */
  readonly asked: string[]
  close(): void
}

const TYPES = { A: 1, AAAA: 28, SRV: 33 } as const
const SERVFAIL = 2
const NXDOMAIN = 3

export async function startDnsServer(): Promise<DnsServer> {
  const socket = createSocket("udp4")
  const server = {
    address: "",
    records: new Map<string, readonly DnsRecord[]>(),
    mode: "answer" as DnsServer["mode"],
    asked: [] as string[],
    close: () => void socket.close(),
  }
  socket.on("message", (question, from) => {
    const { name, type, end } = readQuestion(question)
    server.asked.push(`${typeName(type)} ${name}`)
    if (server.mode === "silent") return
    const known = server.records.get(name)
    const code = server.mode === "fail" ? SERVFAIL : known === undefined ? NXDOMAIN : 0
    const records = code === 0 ? known!.filter((each) => TYPES[each.type] === type) : []
    const head = Buffer.alloc(12)
    question.copy(head, 0, 0, 2)
    head.writeUInt16BE(0x8580 | code, 2)
    head.writeUInt16BE(1, 4)
    head.writeUInt16BE(records.length, 6)
    const answer = Buffer.concat([head, question.subarray(12, end), ...records.map(writeRecord)])
    socket.send(answer, from.port, from.address)
  })
  const { promise, resolve } = Promise.withResolvers<void>()
  socket.bind(0, "127.0.0.1", resolve)
  await promise
  server.address = `127.0.0.1:${socket.address().port}`
  return server
}

function readQuestion(message: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = message[at]!; length !== 0; length = message[at]!) {
    labels.push(message.toString("latin1", at + 1, at + 1 + length).toLowerCase())
    at += length + 1
  }
  return { name: labels.join("."), type: message.readUInt16BE(at + 1), end: at + 5 }
}

const typeName = (type: number) => Object.entries(TYPES).find(([, number]) => number === type)?.[0] ?? type

function writeRecord(record: DnsRecord): Buffer {
  const data = dataOf(record)
  const head = Buffer.alloc(12)
  // The name is that of the question.
  head.writeUInt16BE(0xc00c, 0)
  head.writeUInt16BE(TYPES[record.type], 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt32BE(record.ttl, 6)
  head.writeUInt16BE(data.length, 10)
  return Buffer.concat([head, data])
}

function dataOf(record: DnsRecord): Buffer {
  if (record.type === "A") return Buffer.from(record.address.split(".").map(Number))
  if (record.type === "AAAA") {
    const [left = "", right = ""] = record.address.split("::")
    const groups = (text: string) =>
      text === "" ? [] : text.split(":").map((each) => Number.parseInt(each, 16))
    const [front, back] = [groups(left), groups(right)]
    const all = [...front, ...Array(8 - front.length - back.length).fill(0), ...back]
    return Buffer.from(all.flatMap((each) => [each >> 8, each & 255]))
  }
  const head = Buffer.alloc(6)
  head.writeUInt16BE(record.priority, 0)
  head.writeUInt16BE(record.weight, 2)
  head.writeUInt16BE(record.port, 4)
  const name = record.target.split(".").flatMap((label) => [label.length, ...Buffer.from(label)])
  return Buffer.from([...head, ...name, 0])
}
