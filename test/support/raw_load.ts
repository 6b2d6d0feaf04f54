import type { Socket } from "bun"

/** What came of the requests so far. */
export interface RawLoad {
  /** Answers by "STATUS BODY". */
  readonly answers: ReadonlyMap<string, number>
  /** What happened to requests that got no whole answer. */
  readonly failures: readonly string[]
  readonly total: () => number
  /** Forgets what was counted. */
  reset(): void
  /** Lets the requests under way end and closes the connections. */
  stop(): Promise<void>
}

/**
 * Closed-loop load with no mercy: each of `connections` writes a GET and waits for its whole answer (which must
 * have a Content-Length). Nothing is ever sent twice, so a connection that dies under a request is a failure;
 * one that the server announced to close (`Connection: close`) is opened anew.
 */
export function startRawLoad(port: number, connections: number, path = "/"): RawLoad {
  const answers = new Map<string, number>()
  const failures: string[] = []
  const counts = { total: 0, running: true }
  const request = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`

  const client = (): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>()
    let received = ""
    let waiting = false
    let closing = false

    const ask = (socket: Socket): void => {
      if (!counts.running) {
        socket.end()
        return
      }
      counts.total++
      waiting = true
      received = ""
      socket.write(request)
    }
    const open = (): void => {
      closing = false
      Bun.connect({
        hostname: "127.0.0.1",
        port,
        socket: {
          open: ask,
          data(socket, bytes) {
            received += bytes.latin1Slice()
            const answer = wholeAnswer(received)
            if (answer === undefined) return
            waiting = false
            answers.set(answer.key, (answers.get(answer.key) ?? 0) + 1)
            closing = answer.close
            if (closing) socket.end()
            else ask(socket)
          },
          close() {
            if (waiting) failures.push(`closed after ${received.length} bytes of the answer`)
            waiting = false
            if (counts.running) open()
            else resolve()
          },
          error(_socket, error) {
            failures.push(error.message)
          },
        },
      }).catch((error: Error) => {
        counts.total++
        failures.push(error.message)
        if (counts.running) setTimeout(open, 5)
        else resolve()
      })
    }
    open()
    return promise
  }

  const all = Array.from({ length: connections }, client)
  return {
    answers,
    failures,
    total: () => counts.total,
    reset() {
      answers.clear()
      failures.length = 0
      counts.total = 0
    },
    async stop() {
      counts.running = false
      await Promise.all(all)
    },
  }
}

/** One GET on a connection of its own; resolves with "STATUS BODY", rejects when no whole answer comes. */
export function askOnce(port: number, path = "/"): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let received = ""
  Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => void socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`),
      data(socket, bytes) {
        received += bytes.latin1Slice()
        const answer = wholeAnswer(received)
        if (answer === undefined) return
        resolve(answer.key)
        socket.end()
      },
      close: () => reject(new Error(`closed after ${received.length} bytes of the answer`)),
    },
  }).catch(reject)
  return promise
}

function wholeAnswer(received: string): { key: string; close: boolean } | undefined {
  const end = received.indexOf("\r\n\r\n")
  if (end < 0) return undefined
  const head = received.slice(0, end + 2)
  const length = Number(/\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1] ?? Number.NaN)
  if (Number.isNaN(length)) return { key: `no length: ${head}`, close: true }
  if (received.length < end + 4 + length) return undefined
  const status = head.slice(9, 12)
  const close = /\r\nconnection: close\r\n/i.test(head)
  return { key: `${status} ${received.slice(end + 4, end + 4 + length)}`, close }
}
