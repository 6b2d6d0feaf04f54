/** A bare `Bun.serve` with one topic: what one sends, all get; prints its port. */
const topic = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  development: false,
  fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("", { status: 400 })),
  websocket: {
    idleTimeout: 0,
    sendPings: false,
    perMessageDeflate: false,
    open: (socket) => void socket.subscribe("all"),
    message: (_, data) => void topic.publish("all", data),
  },
})
console.log(topic.port)
