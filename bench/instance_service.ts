/**
 * An instance that may fail: it answers with status 200, or what it is told on its standard input. `/served`, which is
 * never failing, is for whoever measures: wall-clock times in ms of the requests that came by the gateway, checks left
 * out. Prints its port. PORT: 0 for any. WORK_MS: how long an answer takes.
 */
const PORT = Number(process.argv[2])
const WORK_MS = Number(process.argv[3])

let status = 200
const served: number[] = []

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: PORT,
  development: false,
  async fetch(request) {
    const { pathname } = new URL(request.url)
    if (pathname === "/served") return Response.json(served)
    if (pathname === "/health") return new Response("", { status })
    served.push(Date.now())
    await Bun.sleep(WORK_MS)
    return new Response("done", { status })
  },
})
console.log(server.port)
for await (const line of console) status = Number(line)

export {}
