const { port, upstreamPort } = JSON.parse(process.argv[2])

const idle = []
const upstream = {
  data(from, bytes) {
    const { client } = from.data
    idle.push(from)
    client.write(bytes)
  },
}

Bun.listen({
  port,
  hostname: "127.0.0.1",
  socket: {
    data(client, bytes) {
      const to = idle.pop()
      if (to !== undefined) {
        to.data.client = client
        to.write(bytes)
        return
      }
      const options = { hostname: "127.0.0.1", port: upstreamPort, data: { client }, socket: upstream }
      Bun.connect(options).then((opened) => opened.write(bytes))
    },
  },
})
