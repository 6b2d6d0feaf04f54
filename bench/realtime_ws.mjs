// The package `ws` on Node: what one sends, all get. Prints its port.
import { WebSocket, WebSocketServer } from "ws"

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false })
server.on("listening", () => console.log(server.address().port))
server.on("connection", (socket) => {
  socket.on("message", (data) => {
    for (const client of server.clients)
      if (client.readyState === WebSocket.OPEN) client.send(data, { binary: false })
  })
})
