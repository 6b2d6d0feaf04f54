/**
 * A service of known capacity: it works on SLOTS requests at a time, WORK_MS each, and the others wait in line for
 * as long as it takes. Prints its port.
 */
const SLOTS = Number(process.argv[2])
const WORK_MS = Number(process.argv[3])

let working = 0
const waiting: (() => void)[] = []

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  development: false,
  async fetch() {
    if (working >= SLOTS) await new Promise<void>((resolve) => waiting.push(resolve))
    else working++
    await Bun.sleep(WORK_MS)
    const next = waiting.shift()
    if (next === undefined) working--
    else next()
    return new Response("done")
  },
})
console.log(server.port)
