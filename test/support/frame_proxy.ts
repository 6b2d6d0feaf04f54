import { NO_FIELDS } from "../../src/http1/field_list.ts"
import { Edits } from "../../src/http1/fields.ts"
import { parseRequestHead, type RequestHead } from "../../src/http1/request_head.ts"
import { writeResponseHead } from "../../src/http1/response_head.ts"
import { now } from "../../src/lib/clock.ts"
import { FrameRelay } from "../../src/realtime/frame_relay.ts"
import { checkHandshake, problemOfAnswer } from "../../src/realtime/handshake.ts"
import { PING_INTERVAL_MS } from "../../src/realtime/relay.ts"
import type { RelaySocket } from "../../src/realtime/relay_end.ts"
import { Relays } from "../../src/realtime/relays.ts"
import { makePool, TestRequest } from "./upstream_request.ts"
import { countRelayed, type WsProxy, type WsProxyOptions } from "./ws_proxy.ts"

const MB = 1024 * 1024

/** What a socket's data is: a door until the handshake is answered, then an end of a relay. */
interface Events {
  received(bytes: Buffer): void
  drained(): void
  endReceived(): void
  closed(): void
}

class Handshake extends TestRequest {
  readonly upgrades = true
  readonly #head: RequestHead

  constructor(head: RequestHead) {
    super()
    this.#head = head
  }

  override writeHead(out: Buffer, at: number): number {
    const { fields, target } = this.#head
    const end = at + out.latin1Write(`GET ${target} HTTP/1.1\r\n`, at)
    return fields.copy(out, end, new Set(["sec-websocket-extensions"]))
  }
}

/** The same door as `startWsProxy`, around a relay that passes frames. */
export function startFrameProxy(options: WsProxyOptions): WsProxy {
  const clock = options.now ?? now
  const relays = new Relays({ now: clock, ...(options.max === undefined ? {} : { max: options.max }) })
  const { counted, counters } = countRelayed()
  const limits = {
    maxMessageBytes: Math.min(16 * MB, options.maxPayloadBytes ?? 16 * MB),
    idleTimeoutMs: 300_000,
    pingIntervalMs: PING_INTERVAL_MS,
    ...options.limits,
  }
  const pool = makePool(options.upstream.replace(/^ws/, "http"), { max_connections: 100 })
  const problems: string[] = []

  async function relay(socket: Bun.Socket<Events>, head: RequestHead): Promise<void> {
    const refuse = (status: number) => socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`)
    const shake = checkHandshake(head.fields, head.method, "HTTP/1.1")
    if (shake.kind !== "websocket") return void refuse(400)
    if (relays.draining || !relays.reserve()) return void refuse(503)
    const request = new Handshake(head)
    request.deadlineAt = now() + (options.timeoutMs ?? 10_000)
    const ask = pool.ask(request)
    socket.data = { ...socket.data, closed: () => ask.cancel() }
    const asked = await ask.result
    relays.release()
    if (asked.kind === "failed") return void refuse(502)
    const { switched, fields } = asked
    if (switched === undefined) return void refuse(asked.status)
    const problem = problemOfAnswer(fields, head.fields.get("sec-websocket-key")!, shake.protocols)
    if (problem !== "" || relays.draining) {
      switched.terminate()
      return void refuse(relays.draining ? 503 : 502)
    }
    const opened = new FrameRelay(switched, limits, { relays, counters, now: clock })
    if (options.neverUpgrade) return void refuse(500)
    const answer = Buffer.alloc(65_536)
    const own = "connection: Upgrade\r\nupgrade: websocket\r\n"
    const edits = new Edits(new Set(["connection", "upgrade"]))
    const end = writeResponseHead(answer, 0, 101, fields ?? NO_FIELDS, edits, own)
    socket.data = opened.client
    opened.start(socket as unknown as RelaySocket, answer.subarray(0, end), undefined)
  }

  const server = Bun.listen<Events>({
    hostname: "127.0.0.1",
    port: 0,
    allowHalfOpen: true,
    socket: {
      binaryType: "buffer",
      open(socket) {
        socket.data = {
          received: (bytes) => {
            const head = parseRequestHead(bytes, 16_384)
            if (head.kind === "complete") relay(socket, head).catch((error) => problems.push(String(error)))
          },
          drained: () => undefined,
          endReceived: () => void socket.end(),
          closed: () => undefined,
        }
      },
      data: (socket, bytes) => socket.data.received(bytes),
      drain: (socket) => socket.data.drained(),
      end: (socket) => socket.data.endReceived(),
      close: (socket) => socket.data.closed(),
      error: (_, error) => void problems.push(String(error)),
    },
  })
  return {
    port: server.port,
    url: `ws://127.0.0.1:${server.port}`,
    relays,
    counted,
    problems,
    stop: async () => {
      relays.terminate()
      pool.close()
      server.stop(true)
    },
  }
}
