/** Sample services of `gatehouse demo`, each on a free port of loopback. */
export interface DemoServices {
  /** Two instances of one service. */
  readonly hello: readonly [string, string]
  /** Answers after two seconds. */
  readonly slow: string
  /** Fails five times, then works, then fails again. */
  readonly flaky: string
  /** Answers with what it received; a WebSocket gets its messages back. */
  readonly echo: string
  close(): void
}

const SLOW_MS = 2000
const FAILURES_IN_A_ROW = 5
const SUCCESSES_IN_A_ROW = 20
const TICKS = 5
const TICK_MS = 500

export function startDemoServices(): DemoServices {
  const servers = [serveHello("a"), serveHello("b"), serveSlow(), serveFlaky(), serveEcho()] as const
  const [a, b, slow, flaky, echo] = servers.map((server) => `http://127.0.0.1:${server.port}`)
  return {
    hello: [a!, b!],
    slow: slow!,
    flaky: flaky!,
    echo: echo!,
    close() {
      for (const server of servers) void server.stop(true)
    },
  }
}

const OPTIONS = { hostname: "127.0.0.1", port: 0, development: false } as const

function serveHello(name: string) {
  return Bun.serve({
    ...OPTIONS,
    fetch(request) {
      if (new URL(request.url).pathname === "/events") return events()
      return Response.json({ message: "hello", instance: name })
    },
  })
}

/** Server-sent events, one each half second. */
function events(): Response {
  let sent = 0
  const stream = new ReadableStream<string>({
    async pull(controller) {
      if (sent > 0) await Bun.sleep(TICK_MS)
      controller.enqueue(`data: tick ${++sent} of ${TICKS}\n\n`)
      if (sent === TICKS) controller.close()
    },
  })
  return new Response(stream, { headers: { "content-type": "text/event-stream" } })
}

function serveSlow() {
  return Bun.serve({
    ...OPTIONS,
    async fetch() {
      await Bun.sleep(SLOW_MS)
      return Response.json({ message: "sorry for the wait" })
    },
  })
}

function serveFlaky() {
  let asked = 0
  return Bun.serve({
    ...OPTIONS,
    fetch() {
      const turn = asked++ % (FAILURES_IN_A_ROW + SUCCESSES_IN_A_ROW)
      if (turn < FAILURES_IN_A_ROW) return Response.json({ error: "out of order" }, { status: 500 })
      return Response.json({ message: "works again" })
    },
  })
}

function serveEcho() {
  return Bun.serve({
    ...OPTIONS,
    async fetch(request, server) {
      if (request.headers.has("upgrade") && server.upgrade(request)) return undefined
      const { pathname, search } = new URL(request.url)
      return Response.json({
        method: request.method,
        path: pathname + search,
        headers: Object.fromEntries(request.headers),
        body: await request.text(),
      })
    },
    websocket: {
      message(socket, message) {
        socket.send(message)
      },
    },
  })
}
