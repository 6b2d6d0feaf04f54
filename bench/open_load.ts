import type { Socket } from "bun"

/** One request and what came of it. `status` 0: no answer. */
export interface Sample {
  readonly kind: string
  readonly status: number
  /** From when it was due to the end of its answer. */
  readonly ms: number
  /** `performance.now()` when it was due. */
  readonly at: number
}

/** Requests a second of one kind. */
export interface Rate {
  readonly kind: string
  readonly path: string
  readonly perSecond: number
}

interface Connection {
  socket: Socket
  busy: { kind: string; at: number; received: string } | undefined
}

const TICK_MS = 2

/**
 * Open-loop load: requests are sent when they are due, whatever becomes of those before (a closed loop would
 * wait with a slow service, and hide what it does to callers). Connections are kept and used in turn.
 */
export class OpenLoad {
  readonly #port: number
  readonly #idle: Connection[] = []
  readonly #all = new Set<Connection>()
  readonly samples: Sample[] = []

  constructor(port: number) {
    this.#port = port
  }

  /** Requests under way. */
  get pending(): number {
    return this.#all.size - this.#idle.length
  }

  /** Asks at these rates for so long; resolves when the time is over, whatever is still under way. */
  async run(ms: number, rates: readonly Rate[]): Promise<void> {
    const startedAt = performance.now()
    const sent = rates.map(() => 0)
    for (let now = startedAt; now < startedAt + ms; now = performance.now()) {
      for (const [i, { kind, path, perSecond }] of rates.entries()) {
        const due = ((now - startedAt) / 1000) * perSecond
        for (; sent[i]! < due; sent[i]!++) this.#send(kind, path, startedAt + (sent[i]! / perSecond) * 1000)
      }
      await Bun.sleep(TICK_MS)
    }
  }

  /** Waits until all have their answer. */
  async settle(timeoutMs = 10_000): Promise<void> {
    const end = performance.now() + timeoutMs
    while (this.pending > 0 && performance.now() < end) await Bun.sleep(TICK_MS)
  }

  close(): void {
    for (const { socket } of this.#all) socket.terminate()
  }

  #send(kind: string, path: string, at: number): void {
    const request = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`
    // The one that has been idle longest, so that all are used, on all workers.
    const connection = this.#idle.shift()
    if (connection !== undefined) {
      connection.busy = { kind, at, received: "" }
      connection.socket.write(request)
      return
    }
    const fresh: Connection = { socket: undefined as never, busy: { kind, at, received: "" } }
    this.#all.add(fresh)
    Bun.connect({
      hostname: "127.0.0.1",
      port: this.#port,
      socket: {
        open(socket) {
          fresh.socket = socket
          socket.write(request)
        },
        data: (_socket, bytes) => this.#receive(fresh, bytes.latin1Slice()),
        close: () => this.#lost(fresh),
        error: () => this.#lost(fresh),
      },
    }).catch(() => this.#lost(fresh))
  }

  #receive(connection: Connection, text: string): void {
    const { busy } = connection
    if (busy === undefined) return
    busy.received += text
    const end = busy.received.indexOf("\r\n\r\n")
    if (end < 0) return
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(busy.received.slice(0, end))?.[1])
    if (busy.received.length < end + 4 + length) return
    this.#keep(busy, Number(busy.received.slice(9, 12)))
    connection.busy = undefined
    this.#idle.push(connection)
  }

  #lost(connection: Connection): void {
    if (!this.#all.delete(connection)) return
    if (connection.busy !== undefined) this.#keep(connection.busy, 0)
    else this.#idle.splice(this.#idle.indexOf(connection), 1)
  }

  #keep({ kind, at }: { kind: string; at: number }, status: number): void {
    this.samples.push({ kind, status, ms: performance.now() - at, at })
  }
}
