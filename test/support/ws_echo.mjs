// Run by Node: a server of the package `ws` that sends back what it gets. Prints its port.
import { WebSocketServer } from "ws"

const server = new WebSocketServer({
  port: 0,
  host: "127.0.0.1",
  perMessageDeflate: true,
  maxPayload: 2 ** 26,
})
server.on("connection", (socket) => {
  socket.on("error", () => {
    // Half of the cases end like that; the package closes the connection itself.
  })
  socket.on("message", (data, binary) => socket.send(data, { binary }))
})
server.on("listening", () => console.log(server.address().port))
