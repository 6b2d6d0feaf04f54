import { type AddressInfo, connect, createServer, type Socket } from "node:net"

/** A way to the gateway of the demo that can be cut, as networks are. */
export interface DemoLine {
  readonly port: number
  /** Where to ask for a cut: `POST /cut?seconds=10`. */
  readonly control: string
  /** Where it leads: a port of loopback. Before that nothing gets through. */
  leadTo(port: number): void
  close(): void
}

const HOST = "127.0.0.1"
const DEFAULT_CUT_S = 10
const MAX_CUT_S = 60

export async function openDemoLine(): Promise<DemoLine> {
  const sockets = new Set<Socket>()
  let target: number | undefined
  let downUntil = 0
  const line = createServer((client) => {
    if (target === undefined || performance.now() < downUntil) {
      client.destroy()
      return
    }
    sockets.add(client)
    const gateway = connect(target, HOST)
    client.pipe(gateway).pipe(client)
    const end = (): void => {
      sockets.delete(client)
      client.destroy()
      gateway.destroy()
    }
    // `close` follows an error, which tells nothing a broken line would not.
    for (const each of [client, gateway]) each.on("error", () => {}).on("close", end)
  })
  const cut = (seconds: number): number => {
    const connections = sockets.size
    downUntil = performance.now() + seconds * 1000
    for (const socket of sockets) socket.destroy()
    return connections
  }
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  line.once("error", reject).listen(0, HOST, resolve)
  await promise
  const control = Bun.serve({
    hostname: HOST,
    port: 0,
    development: false,
    fetch(request) {
      const seconds = Number(new URL(request.url).searchParams.get("seconds") ?? DEFAULT_CUT_S)
      if (!(seconds >= 0 && seconds <= MAX_CUT_S))
        return Response.json({ error: `seconds must be from 0 to ${MAX_CUT_S}` }, { status: 400 })
      return Response.json({ connections_cut: cut(seconds), back_in_seconds: seconds })
    },
  })
  return {
    port: (line.address() as AddressInfo).port,
    control: `http://${HOST}:${control.port}`,
    leadTo(port) {
      target = port
    },
    close() {
      cut(0)
      line.close()
      void control.stop(true)
    },
  }
}
