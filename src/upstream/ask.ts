import type { Body } from "../http1/body.ts"
import type { ResponseHead } from "../http1/head.ts"
import type { Section } from "../http1/section.ts"
import type { SwitchedSocket } from "./switched.ts"

/** One attempt to get an answer from one instance. */
export interface UpstreamRequest {
  /** Upper-case token. */
  readonly method: string
  readonly body: Body
  /**
   * When, in milliseconds of the pool's clock, the response head must be there. Read again at every look
   * (each 25 ms), so it may be moved while the body is still coming in.
   */
  readonly deadlineAt: number
  /**
   * Longest silence inside a body, in milliseconds; 0: any. The time during which the response's reader
   * takes nothing does not count: a slow client is the door's to judge.
   */
  readonly idleTimeoutMs: number
  /** It asks to switch protocols: 101 is an answer (RFC 9110 section 7.8). Default: it does not. */
  readonly upgrades?: boolean
  /**
   * Writes request line and header lines into `out` at `at` and returns the position after them: without
   * content-length, transfer-encoding, connection and without the empty line, which the connection adds. A throw
   * rejects the result; the connection is unharmed.
   */
  writeHead(out: Buffer, at: number): number
  /** Called once when a whole round of the pool's sweep (25 ms) has passed without a response. */
  lasts?(): void
  /** An interim response of status 103 came (RFC 8297). */
  hinted?(fields: Section): void
  /**
   * Called once, after a response was given, when its body has come in whole (`complete`), broke off
   * (`aborted`) or was given up by this side (`cancelled`). For a body that came with the head that is
   * before the result is seen. Not called when the attempt failed.
   */
  finished(outcome: "complete" | "aborted" | "cancelled"): void
}

export type AskFailure =
  /** No connection: refused, unreachable, unknown name, TLS not verified, pool closed. */
  | "connect"
  | "connect_timeout"
  /** All connections busy and the waiting queue full. */
  | "pool_full"
  /** No connection became free in time. */
  | "pool_timeout"
  /** The connection broke before the response head was complete. */
  | "reset"
  /** No response head by the deadline, or the request body stood still too long. */
  | "timeout"
  /** The response is not valid HTTP/1.x, or larger than allowed. */
  | "protocol"
  /** Given up by this side: `cancel`, or the request body broke off. */
  | "cancelled"

export interface AskedResponse {
  readonly kind: "response"
  /** 200 to 599; 101 where that was asked for. */
  readonly status: number
  readonly fields: Section
  /** `undefined` for HEAD, 204 and 304; a `Uint8Array` when the whole body came with the head. */
  readonly body: Body
  /** Nobody else has the memory around the body: it may be given back when that is sent. */
  readonly owned?: boolean
  /** With 101: the connection, which whoever asked has from now on. */
  readonly switched?: SwitchedSocket
}

export interface AskedFailure {
  readonly kind: "failed"
  readonly reason: AskFailure
  /** True as soon as a byte of the request may have reached the instance. */
  readonly sent: boolean
  /** A reused connection broke before any byte of a response: most likely it was being closed as we wrote. */
  readonly stale: boolean
  /** For the log. */
  readonly cause: string
}

export type Asked = AskedResponse | AskedFailure

/** Who has the attempt now and can stop it: the pool's queue or a connection. */
export interface AskHolder {
  cancel(ask: Ask): void
}

/** What is under way to an instance: what will have come of it, and how to give it up. */
export interface Asking {
  /** Rejects only for a bug, never for what an instance does. */
  readonly result: Promise<Asked>
  cancel(): void
}

/** An attempt under way. */
export class Ask implements Asking {
  readonly request: UpstreamRequest
  /** Failures are values; it rejects only when `request.writeHead` throws. */
  readonly result: Promise<Asked>
  /** For the pool and its connections: the holder, and this attempt's place in the waiting queue. */
  holder: AskHolder | undefined = undefined
  waitUntil = 0
  /** Rounds of the pool's sweep that have found it without a response. */
  #rounds = 0
  next: Ask | undefined = undefined
  previous: Ask | undefined = undefined
  #resolve!: (asked: Asked) => void
  #reject!: (error: unknown) => void

  constructor(request: UpstreamRequest) {
    this.request = request
    // `Promise.withResolvers` costs twice as much.
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  /**
   * Gives up: before the response the result is a failure `cancelled`; within its body the connection is
   * dropped without a further call to the sink. Does nothing once the exchange is over.
   */
  cancel(): void {
    this.holder?.cancel(this)
  }

  /** For the holder: a round of the sweep found it without a response. */
  swept(): void {
    if (++this.#rounds === 2) this.request.lasts?.()
  }

  /** For the holder: the response is here. */
  answer(asked: Asked): void {
    this.#resolve(asked)
  }

  /** For the holder: the service has switched protocols, and this is its connection. */
  switched({ status, fields }: ResponseHead, switched: SwitchedSocket): void {
    this.request.finished("complete")
    this.#resolve({ kind: "response", status, fields, body: undefined, switched })
  }

  /** For the holder: the attempt failed. */
  fail(reason: AskFailure, cause: string, sent = false, stale = false): void {
    this.holder = undefined
    this.#resolve({ kind: "failed", reason, sent, stale, cause })
  }

  /** For the holder: the request itself could not be written. */
  reject(error: unknown): void {
    this.holder = undefined
    this.#reject(error)
  }
}
