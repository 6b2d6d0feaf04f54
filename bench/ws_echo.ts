/** A bare WebSocket server on Bun that echoes; prints its port. */
const echo = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  development: false,
  fetch: (request, server) => (server.upgrade(request) ? undefined : new Response("", { status: 400 })),
  websocket: {
    idleTimeout: 0,
    sendPings: false,
    perMessageDeflate: false,
    message: (socket, data) => void socket.send(data),
  },
})
console.log(echo.port)
