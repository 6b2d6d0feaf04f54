import type { Socket } from "bun"

/** A service of any number of bytes, which holds none of them. */
export interface ByteService {
  readonly url: string
  /** Bytes of the last upload that have arrived. */
  readonly received: () => number
  stop(): void
}

const CHUNK = Buffer.alloc(262_144, "x")

interface Connection {
  /** Bytes of the answer still to send. */
  left: number
  /** Bytes of the upload still to come; -1 while its head has not come. */
  expected: number
  head: string
}

/** How long whoever reads stops reading. */
const PAUSE_MS = 250

/**
 * `GET /N` answers with N bytes; a POST is read to its end and answered with the number of bytes. Of each upload,
 * it stops reading for a moment after every `pauseEvery` bytes.
 */
export function startByteService(pauseEvery: number): ByteService {
  let received = 0
  let nextPause = 0
  const flush = (socket: Socket<Connection>): void => {
    while (socket.data.left > 0) {
      const want = Math.min(socket.data.left, CHUNK.length)
      const taken = socket.write(CHUNK.subarray(0, want))
      socket.data.left -= Math.max(0, taken)
      if (taken < want) return
    }
  }
  const listener = Bun.listen<Connection>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { left: 0, expected: -1, head: "" }
      },
      data(socket, bytes) {
        const state = socket.data
        let body = bytes.length
        if (state.expected < 0) {
          state.head += bytes.latin1Slice()
          const end = state.head.indexOf("\r\n\r\n")
          if (end < 0) return
          const [, method, size] = /^([A-Z]+) \/(\d*)/.exec(state.head)!
          if (method === "GET") {
            state.head = ""
            state.left = Number(size)
            socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`)
            flush(socket)
            return
          }
          state.expected = Number(/\r\ncontent-length: (\d+)/i.exec(state.head)![1])
          body = state.head.length - end - 4
          received = 0
          nextPause = pauseEvery
        }
        received += body
        if (received >= nextPause) {
          nextPause += pauseEvery
          socket.pause()
          setTimeout(() => socket.resume(), PAUSE_MS)
        }
        state.expected -= body
        if (state.expected > 0) return
        const text = String(received)
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`)
        state.expected = -1
        state.head = ""
      },
      drain: flush,
    },
  })
  return {
    url: `http://127.0.0.1:${listener.port}`,
    received: () => received,
    stop: () => listener.stop(true),
  }
}

/**
 * Downloads from a gateway and counts, and stops reading for a moment after every `pauseEvery` bytes. Resolves with the bytes of the body; rejects when the connection ends before all have come.
 */
export function download(port: number, size: number, pauseEvery: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  let head = ""
  let body = -1
  let nextPause = pauseEvery
  void Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => void socket.write(`GET /${size} HTTP/1.1\r\nHost: localhost\r\n\r\n`),
      data(socket, bytes) {
        if (body < 0) {
          head += bytes.latin1Slice()
          const end = head.indexOf("\r\n\r\n")
          if (end < 0) return
          if (!head.startsWith("HTTP/1.1 200")) reject(new Error(head))
          body = head.length - end - 4
        } else body += bytes.length
        // Chunked framing adds to what is counted; the caller compares with "at least".
        if (body >= size) {
          resolve(body)
          socket.end()
        } else if (body >= nextPause) {
          nextPause += pauseEvery
          socket.pause()
          setTimeout(() => socket.resume(), PAUSE_MS)
        }
      },
      close: () => reject(new Error(`cut after ${body} bytes`)),
    },
  })
  return promise
}

/** Uploads that many bytes; resolves with the answer's body. */
export function upload(port: number, size: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let left = size
  let answer = ""
  const flush = (socket: Socket): void => {
    while (left > 0) {
      const want = Math.min(left, CHUNK.length)
      const taken = socket.write(CHUNK.subarray(0, want))
      left -= Math.max(0, taken)
      if (taken < want) return
    }
  }
  void Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(socket) {
        socket.write(`POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${size}\r\n\r\n`)
        flush(socket)
      },
      drain: flush,
      data(socket, bytes) {
        answer += bytes.latin1Slice()
        const [, length] = /\r\ncontent-length: (\d+)\r\n/i.exec(answer) ?? []
        const end = answer.indexOf("\r\n\r\n")
        if (end < 0 || answer.length < end + 4 + Number(length)) return
        resolve(answer.slice(end + 4))
        socket.end()
      },
      close: () => reject(new Error(`closed with ${left} bytes unsent: ${answer}`)),
    },
  })
  return promise
}
