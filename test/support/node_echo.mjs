// Run by Node: answers each request with what Node's parser has read of it, as JSON. Prints its port.
import { createServer } from "node:http"

const echo = (request, response) => {
  const chunks = []
  request.on("data", (chunk) => chunks.push(chunk))
  request.on("end", () => {
    const { method, url, rawHeaders } = request
    const read = { method, url, rawHeaders, body: Buffer.concat(chunks).toString("latin1") }
    const text = Buffer.from(JSON.stringify(read))
    response.writeHead(200, { "content-length": text.length })
    response.end(text)
  })
}

const server = createServer({ requireHostHeader: false, maxHeaderSize: 65_536 }, echo)
server.on("clientError", (_error, socket) => socket.destroy())
server.listen(0, "127.0.0.1", () => console.log(server.address().port))
