import { afterAll, expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import type { Socket } from "bun"
import { createTokens } from "../../bench/tokens.ts"

setDefaultTimeout(120_000)

// Time on a shared machine tells little; how much is allocated for a request, and in how many pieces it is sent, hardly
// depends on the machine. The bounds are a little more than half above what was counted.

const ANSWER = Buffer.from(
  `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 48\r\n\r\n{"message":"Hello, World!","id":12345,"ok":true}`,
)
const REQUESTS = 30_000
const CONNECTIONS = 16

/** Reads with which requests came: one each, as long as a request is one write. */
let reads = 0
const upstream = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  socket: {
    data(socket) {
      reads++
      socket.write(ANSWER)
    },
  },
})
afterAll(() => upstream.stop(true))

/** Sends so many requests over a few connections, each after the answer to the one before; reads they took. */
function load(port: number, requests: number, head: () => string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  let asked = 0
  let answered = 0
  let answerReads = 0
  const next = (socket: Socket): void => {
    if (asked++ < requests) socket.write(head())
  }
  for (let i = 0; i < CONNECTIONS; i++)
    void Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: next,
        data(socket, bytes) {
          answerReads++
          if (!bytes.latin1Slice(0, 12).endsWith(" 200")) reject(new Error(bytes.latin1Slice()))
          if (++answered === requests) resolve(answerReads)
          else next(socket)
        },
      },
    })
  return promise
}

/** Bytes the runtime's heap had allocated when it logged its collections. */
async function allocated(command: string[], head: () => string): Promise<number> {
  const child = Bun.spawn(
    [process.execPath, join(import.meta.dir, "../support/work_gateway.ts"), ...command],
    {
      stdout: "pipe",
      stderr: "pipe",
      // Logs each collection with what was allocated since the last; a small machine collects often.
      env: { ...process.env, BUN_JSC_logGC: "1", BUN_JSC_forceRAMSize: "67108864" },
    },
  )
  let log = ""
  void child.stderr.pipeTo(
    new WritableStream({ write: (bytes) => void (log += Buffer.from(bytes).latin1Slice()) }),
  )
  const reader = child.stdout.getReader()
  const port = Number(Buffer.from((await reader.read()).value!).latin1Slice())
  const bytes = (): number => {
    let sum = 0
    for (const found of log.matchAll(/bytes allocated this cycle: (\d+)/g)) sum += Number(found[1])
    return sum
  }
  try {
    await load(port, REQUESTS / 2, head)
    const before = bytes()
    reads = 0
    expect(await load(port, REQUESTS, head)).toBe(REQUESTS)
    expect(reads).toBe(REQUESTS)
    return (bytes() - before) / REQUESTS
  } finally {
    child.kill()
  }
}

const HOST = "GET /json HTTP/1.1\r\nHost: a.example\r\nUser-Agent: test\r\nAccept: */*\r\n"

test("[5.3] a request passed on is one write each way, and allocates little", async () => {
  const each = await allocated([String(upstream.port)], () => `${HOST}\r\n`)
  expect(each).toBeGreaterThan(0)
  expect(each).toBeLessThan(5000)
})

test("[5.3] so does one with a token, a limit, an id and a log line", async () => {
  const { valid, verifyKey } = createTokens("HS256")
  let turn = 0
  const each = await allocated([String(upstream.port), verifyKey], () => {
    turn = (turn + 1) % valid.length
    return `${HOST}Authorization: Bearer ${valid[turn]}\r\n\r\n`
  })
  expect(each).toBeGreaterThan(0)
  expect(each).toBeLessThan(8000)
})
