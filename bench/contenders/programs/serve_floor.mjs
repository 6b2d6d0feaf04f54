const { port, upstreamPort } = JSON.parse(process.argv[2])

const idle = []
const out = Buffer.alloc(65_536)
const socket = {
  data(from, bytes) {
    const end = bytes.indexOf("\r\n\r\n")
    const lines = bytes.latin1Slice(0, end).split("\r\n")
    const response = new Response(bytes.subarray(end + 4), { status: Number(lines[0].slice(9, 12)) })
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(":")
      const name = line.slice(0, colon).toLowerCase()
      if (name !== "content-length" && name !== "connection")
        response.headers.append(name, line.slice(colon + 2))
    }
    idle.push(from)
    from.data.answer(response)
  },
}

Bun.serve({
  port,
  hostname: "127.0.0.1",
  development: false,
  async fetch(request) {
    const path = request.url.slice(request.url.indexOf("/", 8))
    const head = `GET ${path} HTTP/1.1\r\nhost: ${request.headers.get("host")}\r\n\r\n`
    const to =
      idle.pop() ?? (await Bun.connect({ hostname: "127.0.0.1", port: upstreamPort, data: {}, socket }))
    return new Promise((answer) => {
      to.data.answer = answer
      to.write(out, 0, out.latin1Write(head, 0))
    })
  },
})
