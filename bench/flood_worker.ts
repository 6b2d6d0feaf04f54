import { connect } from "node:net"

declare const self: Worker

/** What a flood is told. */
export interface FloodOrder {
  readonly port: number
  readonly attackers: number
  readonly forMs: number
}

/** What came of it. */
export interface FloodReport {
  readonly answered: number
  readonly blocked: number
  readonly cut: number
  /** By address, ms since the start. */
  readonly blockedAtMs: ReadonlyMap<string, number>
}

/** Requests an attacker asks for on one connection before it looks at the answers: twice so many. */
const PIPELINED = 5

// In a thread of its own, or the user would wait for the attackers' turn and not for the gateway.
if (!Bun.isMainThread) {
  self.addEventListener("message", ({ data }: MessageEvent<FloodOrder>) => {
    void run(data).then((report) => self.postMessage(report))
  })
}

async function run({ port, attackers, forMs }: FloodOrder): Promise<FloodReport> {
  const startedAt = performance.now()
  const report = { answered: 0, blocked: 0, cut: 0, blockedAtMs: new Map<string, number>() }
  const addresses = Array.from({ length: attackers }, (_, i) => `127.0.0.${2 + i}`)
  await Promise.all(addresses.map((address) => attack(address, port, startedAt, forMs, report)))
  return report
}

/** Connects again and again, and asks for what is not there or not allowed. */
async function attack(
  address: string,
  port: number,
  startedAt: number,
  forMs: number,
  report: { answered: number; blocked: number; cut: number; blockedAtMs: Map<string, number> },
): Promise<void> {
  const request =
    "GET /private HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer guess\r\n\r\nGET /admin.php HTTP/1.1\r\nHost: a\r\n\r\n"
  while (performance.now() - startedAt < forMs) {
    const text = await exchange(address, port, request.repeat(PIPELINED), PIPELINED * 2)
    const blocked = text.split('"CLIENT_BLOCKED"').length - 1
    const answered = text.split("HTTP/1.1 4").length - 1 - blocked
    report.blocked += blocked
    report.answered += answered
    if (blocked + answered === 0) report.cut++
    if (blocked > 0 && !report.blockedAtMs.has(address))
      report.blockedAtMs.set(address, performance.now() - startedAt)
  }
}

/** Sends on a new connection, and resolves with what came until so many answers are there or the end. */
export function exchange(
  localAddress: string,
  port: number,
  bytes: string,
  answers: number,
): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  const socket = connect({ host: "127.0.0.1", port, localAddress })
  let text = ""
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString("latin1")
    if (text.split("HTTP/1.1 ").length > answers) socket.destroy()
  })
  // Being cut off is what a flood may expect; "close" follows.
  socket.on("error", () => undefined)
  socket.on("close", () => resolve(text))
  socket.write(bytes)
  return promise
}
