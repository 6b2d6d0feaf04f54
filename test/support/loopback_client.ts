import { connect } from "node:net"

/** One request on a connection of its own, from an address of 127.0.0.0/8. Resolves with the status and the whole answer. */
export function askFrom(
  localAddress: string,
  port: number,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number; readonly text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>()
  const socket = connect({ host: "127.0.0.1", port, localAddress })
  let text = ""
  socket.on("data", (bytes) => {
    text += bytes.toString("latin1")
  })
  socket.on("close", () => {
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1])
    if (Number.isNaN(status)) reject(new Error(`no answer from port ${port} to ${localAddress}`))
    else resolve({ status, text })
  })
  // "close" follows and tells.
  socket.on("error", () => undefined)
  const lines = Object.entries({ host: "a", connection: "close", ...headers })
  socket.write(
    `GET ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`,
  )
  return promise
}
