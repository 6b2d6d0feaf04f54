import type { Socket } from "bun"
import { parseRequests, type ReceivedRequest } from "./received.ts"

/** A strict service that waits for each request to be whole, keeps it, and answers with what it got. */
export class EchoUpstream {
  /** Whole requests, in order. */
  readonly requests: ReceivedRequest[] = []
  /** What no strict service would take for requests. */
  readonly faults: string[] = []
  readonly url: string
  readonly #listener: { stop(closeActive?: boolean): void }
  readonly #pending = new Map<Socket<undefined>, string>()

  constructor() {
    const listener = Bun.listen<undefined>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (socket) => void this.#pending.set(socket, ""),
        data: (socket, bytes) => this.#take(socket, this.#pending.get(socket)! + bytes.latin1Slice()),
        close: (socket) => void this.#pending.delete(socket),
      },
    })
    this.#listener = listener
    this.url = `http://127.0.0.1:${listener.port}`
  }

  /** What it says to a request. */
  static answerTo({ line, body }: ReceivedRequest): string {
    return `${line}|${Bun.hash(body)}`
  }

  /** Some of a request has come, and not all of it. */
  get waiting(): boolean {
    return [...this.#pending.values()].some((text) => text !== "")
  }

  stop(): void {
    this.#listener.stop(true)
  }

  #take(socket: Socket<undefined>, text: string): void {
    this.#pending.set(socket, text)
    if (!text.includes("\r\n\r\n")) return
    let found: ReceivedRequest[]
    try {
      found = parseRequests(text)
    } catch (error) {
      // A size line may come in two reads; whatever else is wrong stays wrong.
      if (!/chunk/.test(String(error))) this.faults.push(String(error))
      return
    }
    if (!found.at(-1)!.complete) return
    this.#pending.set(socket, "")
    // The gateway asks one at a time: a second request here was made out of somebody's body.
    if (found.length > 1)
      this.faults.push(`${found.length} requests at once: ${JSON.stringify(text.slice(0, 500))}`)
    for (const request of found) {
      this.requests.push(request)
      const answer = EchoUpstream.answerTo(request)
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${answer.length}\r\n\r\n${answer}`)
    }
  }
}
