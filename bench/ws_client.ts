import { join } from "node:path"
import type { Socket } from "bun"
import { frame, OPCODE } from "../test/support/ws_raw.ts"

/** Length of a message, all of them text. */
export const MESSAGE_BYTES = 100
const SENT = frame(OPCODE.TEXT, "x".repeat(MESSAGE_BYTES))
/** What a server frames it with: FIN and text, and a length below 126 (RFC 6455 section 5.2). */
const FRAME_HEAD = [0x81, MESSAGE_BYTES] as const
const FRAME_BYTES = FRAME_HEAD.length + MESSAGE_BYTES
const HEAD_END = "\r\n\r\n"
const NOTHING = Buffer.alloc(0)

/** A WebSocket client that costs little: it sends one message again and again, and counts its echoes. */
export class EchoClient {
  readonly #socket: Socket
  #held: Buffer = NOTHING
  #closed = false
  /** Called for each echo. */
  onEcho: () => void = () => {}

  private constructor(socket: Socket) {
    this.#socket = socket
  }

  /** Whether the other side has left, or said what no echo is. */
  get closed(): boolean {
    return this.#closed
  }

  /** Resolves when the handshake is done. */
  static open(port: number, path: string): Promise<EchoClient> {
    const { promise, resolve, reject } = Promise.withResolvers<EchoClient>()
    let client: EchoClient | undefined
    let head = ""
    Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (socket) => void socket.write(handshake(path)),
        data(socket, bytes) {
          if (client !== undefined) {
            client.#receive(bytes)
            return
          }
          head += bytes.latin1Slice()
          if (!head.endsWith(HEAD_END)) return
          if (!head.startsWith("HTTP/1.1 101 ")) reject(new Error(`the handshake failed: ${head}`))
          client = new EchoClient(socket)
          resolve(client)
        },
        close() {
          if (client !== undefined) client.#closed = true
          reject(new Error("closed before the handshake was done"))
        },
      },
    }).catch(reject)
    return promise
  }

  send(): void {
    // So little waits in the socket that it is always taken whole.
    if (this.#socket.write(SENT) !== SENT.length) this.close()
  }

  close(): void {
    this.#closed = true
    this.#socket.terminate()
  }

  #receive(bytes: Buffer): void {
    const all = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes])
    let at = 0
    for (; all.length - at >= FRAME_BYTES; at += FRAME_BYTES) {
      if (all[at] !== FRAME_HEAD[0] || all[at + 1] !== FRAME_HEAD[1]) {
        this.close()
        return
      }
      this.onEcho()
    }
    this.#held = at === all.length ? NOTHING : all.subarray(at)
  }
}

const handshake = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

/** Opens so many, a hundred at a time. */
export async function openEchoClients(port: number, path: string, count: number): Promise<EchoClient[]> {
  const clients: EchoClient[] = []
  while (clients.length < count) {
    const some = Array.from({ length: Math.min(100, count - clients.length) }, () =>
      EchoClient.open(port, path),
    )
    clients.push(...(await Promise.all(some)))
  }
  return clients
}

/** The bare WebSocket server, a process of its own. */
export interface EchoServer {
  readonly pid: number
  readonly port: number
  stop(): Promise<void>
}

export async function startEchoServer(core: string): Promise<EchoServer> {
  const command = [process.execPath, join(import.meta.dir, "ws_echo.ts")]
  const child = Bun.spawn(["taskset", "-c", core, ...command], { stdout: "pipe", stderr: "inherit" })
  const { value } = await child.stdout.getReader().read()
  return {
    pid: child.pid,
    port: Number(new TextDecoder().decode(value)),
    async stop() {
      child.kill()
      await child.exited
    },
  }
}
