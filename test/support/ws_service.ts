import type { ServerWebSocket } from "bun"

interface Session {
  path: string
  headers: Record<string, string>
  closed: { code: number; reason: string } | undefined
  pings: string[]
  pongs: string[]
  received: (string | Buffer)[]
  socket: ServerWebSocket<Session> | undefined
}

/**
 * A service that echoes, and does what text messages ask: `close:4000:why`, `close` (no code), `drop`,
 * `ping:x`, `pong:x`. Paths: `/status/401` refuses, `/hang` never answers, `/gate` waits for `openGate`, `/early` speaks first,
 * `/early-close` speaks and closes, `/quiet` only listens, `/protocol/x` chooses subprotocol x, `/none` none.
 */
export function startWsService() {
  const sessions: Session[] = []
  const handshakes: Record<string, string>[] = []
  const gate = Promise.withResolvers<void>()
  const server = Bun.serve<Session>({
    hostname: "127.0.0.1",
    port: 0,
    development: false,
    idleTimeout: 0,
    async fetch(request, server) {
      const path = new URL(request.url).pathname
      handshakes.push(Object.fromEntries(request.headers.entries()))
      if (path.startsWith("/status/")) return new Response("refused", { status: Number(path.slice(8)) })
      if (path === "/hang") return new Promise<Response>(() => {})
      if (path === "/gate") await gate.promise
      const headers: Record<string, string> = {}
      if (path === "/none") headers["sec-websocket-protocol"] = ""
      if (path.startsWith("/protocol/")) headers["sec-websocket-protocol"] = path.slice(10)
      const data: Session = {
        path,
        headers: Object.fromEntries(request.headers.entries()),
        closed: undefined,
        pings: [],
        pongs: [],
        received: [],
        socket: undefined,
      }
      return server.upgrade(request, { data, headers }) ? undefined : new Response("", { status: 400 })
    },
    websocket: {
      maxPayloadLength: 128 * 1024 * 1024,
      backpressureLimit: 256 * 1024 * 1024,
      sendPings: false,
      open(socket) {
        sessions.push(socket.data)
        socket.data.socket = socket
        if (!socket.data.path.startsWith("/early")) return
        for (const text of ["one", "two", "three"]) socket.send(text)
        if (socket.data.path === "/early-close") socket.close(4002, "said it all")
      },
      message(socket, data) {
        socket.data.received.push(data)
        if (typeof data === "string" && obey(socket, data)) return
        if (socket.data.path !== "/quiet") socket.send(data)
      },
      ping: (socket, payload) => void socket.data.pings.push(payload.toString()),
      pong: (socket, payload) => void socket.data.pongs.push(payload.toString()),
      close(socket, code, reason) {
        socket.data.closed = { code, reason }
      },
    },
  })
  return {
    url: `ws://127.0.0.1:${server.port}`,
    port: server.port!,
    sessions,
    handshakes,
    openGate: () => gate.resolve(),
    stop: () => server.stop(true),
  }
}

export type WsService = ReturnType<typeof startWsService>

function obey(socket: ServerWebSocket<Session>, text: string): boolean {
  const [order, first, second] = text.split(":")
  switch (order) {
    case "close":
      if (first === undefined) socket.close(1005)
      else socket.close(Number(first), second)
      return true
    case "drop":
      socket.terminate()
      return true
    case "ping":
      socket.ping(first)
      return true
    case "pong":
      socket.pong(first)
      return true
    default:
      return false
  }
}
