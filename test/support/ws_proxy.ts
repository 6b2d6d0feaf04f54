import { FieldList } from "../../src/http1/field_list.ts"
import { now } from "../../src/lib/clock.ts"
import { checkHandshake } from "../../src/realtime/handshake.ts"
import { openRelay, PING_INTERVAL_MS, type RelayLimits } from "../../src/realtime/relay.ts"
import { Relays } from "../../src/realtime/relays.ts"
import { type SocketHandler, websocketHandlers } from "../../src/realtime/socket.ts"

export interface WsProxyOptions {
  /** Origin of the service, e.g. "ws://127.0.0.1:1234"; the client's path and query are added. */
  upstream: string
  limits?: Partial<RelayLimits>
  /** Longest wait for the service's handshake. */
  timeoutMs?: number
  /** Relays at a time. */
  max?: number
  maxPayloadBytes?: number
  now?: () => number
  /** Opens the relay but never completes the client's handshake. */
  neverUpgrade?: boolean
}

/** Counts what relays count. */
export function countRelayed() {
  const counted = { open: 0, received: 0, receivedBytes: 0, sent: 0, sentBytes: 0 }
  const counters = {
    opened: () => void counted.open++,
    closed: () => void counted.open--,
    received: (bytes: number) => {
      counted.received++
      counted.receivedBytes += bytes
    },
    sent: (bytes: number) => {
      counted.sent++
      counted.sentBytes += bytes
    },
  }
  return { counted, counters }
}

/** The smallest door around a relay: what a test needs to see it work over real sockets. */
export function startWsProxy(options: WsProxyOptions) {
  const clock = options.now ?? now
  const relays = new Relays({ now: clock, ...(options.max === undefined ? {} : { max: options.max }) })
  const { counted, counters } = countRelayed()
  const limits = {
    maxMessageBytes: 16 * 1024 * 1024,
    idleTimeoutMs: 300_000,
    pingIntervalMs: PING_INTERVAL_MS,
    ...options.limits,
  }
  const problems: string[] = []
  const log = {
    debug() {},
    info() {},
    warn() {},
    error: (event: string, fields?: Readonly<Record<string, unknown>>) =>
      void problems.push(`${event} ${JSON.stringify(fields)}`),
  }
  const server = Bun.serve<SocketHandler>({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    idleTimeout: 60,
    async fetch(request, server) {
      const fields = new FieldList([...request.headers].flat())
      const shake = checkHandshake(fields, request.method, "HTTP/1.1")
      if (shake.kind === "http") return new Response("not a websocket", { status: 200 })
      if (shake.kind === "failure") return new Response(shake.message, { status: 400 })
      const { pathname, search } = new URL(request.url)
      const target = {
        url: `${options.upstream}${pathname}${search}`,
        headers: Object.fromEntries(request.headers.entries()),
        protocols: shake.protocols,
        tls: undefined,
      }
      const opened = await openRelay(target, options.timeoutMs ?? 10_000, limits, {
        relays,
        counters,
        now: clock,
      })
      if (opened.kind === "refused")
        return new Response(`${opened.outcome}: ${opened.cause}`, { status: opened.status })
      if (options.neverUpgrade) return new Response("no", { status: 500 })
      if (server.upgrade(request, { headers: opened.headers, data: opened.relay })) return undefined
      opened.relay.abandon()
      return new Response("upgrade failed", { status: 400 })
    },
    websocket: websocketHandlers({
      log,
      maxPayloadBytes: options.maxPayloadBytes ?? 16 * 1024 * 1024,
      compression: false,
    }),
  })
  return {
    port: server.port!,
    url: `ws://127.0.0.1:${server.port}`,
    relays,
    counted,
    /** What handlers threw; must stay empty. */
    problems,
    stop: () => server.stop(true),
  }
}

export type WsProxy = ReturnType<typeof startWsProxy>
