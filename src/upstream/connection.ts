import { FedBody, type Feed } from "../http1/fed_body.ts"
import { type BodyDecoder, bodyDecoder } from "../http1/framing.ts"
import type { ResponseHead } from "../http1/head.ts"
import { takeOut } from "../lib/take_out.ts"
import type { Ask, AskFailure, AskHolder } from "./ask.ts"
import type { ConnectionOwner } from "./connection_owner.ts"
import { ANSWERED, ASKED, CONNECTING, GONE, IDLE, UPLOADING } from "./connection_state.ts"
import { describe, dial, type SocketUser, type UpstreamSocket } from "./dial.ts"
import { HeadReader } from "./head_reader.ts"
import { Outgoing, type OutgoingOwner } from "./outgoing.ts"
import { SwitchedSocket } from "./switched.ts"

const EMPTY = new Uint8Array(0)

/** One connection to an instance: one exchange at a time. Every end passes `#leave`, which runs once. */
export class Connection implements AskHolder, Feed, OutgoingOwner, SocketUser {
  /** Place in the pool's list; kept by the pool. */
  slot = 0
  readonly #owner: ConnectionOwner<Connection>
  readonly #outgoing: Outgoing
  readonly #heads: HeadReader
  readonly #connectBy: number
  #socket: UpstreamSocket | undefined
  #state = CONNECTING
  #ask: Ask | undefined
  #reused = false
  #heard = false
  #persistent = false
  #decoder: BodyDecoder | undefined
  #body: FedBody | undefined
  #paused = false
  /** The other side has ended the connection in order. */
  #ended = false
  /** Bytes came in since the last sweep; when they last had, as the sweep saw it. */
  #moved = true
  #stillSince = 0
  #bodyIdleMs = 0

  /** A connection that will be opened for `ask`. `at` is the time now. */
  constructor(owner: ConnectionOwner<Connection>, ask: Ask, at: number) {
    this.#owner = owner
    this.#outgoing = new Outgoing(this)
    this.#heads = new HeadReader(owner.maxHeadBytes, this)
    this.#ask = ask
    this.#connectBy = at + owner.connectTimeoutMs
    ask.holder = this
  }

  /** Opens it; a failure goes to the ask. */
  open(): void {
    dial(this.#owner.address, this.#owner.tls, this)
  }

  /** Writes the request of `ask`; the connection must be idle. */
  begin(ask: Ask): void {
    const request = ask.request
    let end: number
    try {
      end = this.#outgoing.prepare(request)
    } catch (error) {
      ask.reject(error)
      this.#owner.connectionIdle(this)
      return
    }
    this.#ask = ask
    ask.holder = this
    this.#state = ASKED
    this.#heard = false
    this.#moved = true
    this.#bodyIdleMs = request.idleTimeoutMs
    this.#heads.reset(request.upgrades)
    this.#outgoing.send(request, end)
  }

  /** Closes an idle connection in order. */
  close(): void {
    this.#leave(false)
  }

  cancel(ask: Ask): void {
    if (this.#ask !== ask) return
    if (this.#state === ANSWERED) this.#body!.cancel()
    else if (this.#state === ASKED) this.#fail("cancelled", "cancelled")
    else {
      // The connection goes on opening: somebody else will use it.
      this.#ask = undefined
      ask.fail("cancelled", "cancelled")
    }
  }

  /** Acts on whatever is due. */
  sweep(at: number): void {
    if (this.#state === CONNECTING || this.#state === ASKED) this.#ask?.swept()
    if (this.#state === CONNECTING) this.#sweepConnecting(at)
    else if (this.#state === ASKED && at >= this.#ask!.request.deadlineAt)
      this.#fail("timeout", "no response by the deadline")
    else if (this.#hasMoved()) {
      this.#moved = false
      this.#stillSince = at
    } else this.#sweepStill(at - this.#stillSince)
  }

  /** Since the last sweep; a reader that takes nothing holds the connection up, which is not the instance's fault. */
  #hasMoved(): boolean {
    const sent = this.#outgoing.moved()
    return sent || this.#moved || (this.#state === ANSWERED && this.#body!.full)
  }

  #sweepStill(stillMs: number): void {
    if (this.#state === IDLE) {
      if (stillMs >= this.#owner.idleTimeoutMs) this.close()
    } else if (this.#bodyIdleMs === 0 || stillMs < this.#bodyIdleMs) return
    else if (this.#state === ANSWERED) this.#breakBody("aborted", "upstream silent inside the body")
    else if (this.#state === UPLOADING) this.#leave(true)
    else if (this.#outgoing.pending) this.#fail("timeout", "request body stood still")
  }

  #sweepConnecting(at: number): void {
    const ask = this.#ask
    if (ask !== undefined && at >= ask.request.deadlineAt) {
      this.#ask = undefined
      ask.fail("timeout", "deadline passed while connecting")
    }
    if (at < this.#connectBy) return
    this.#ask?.fail("connect_timeout", `not connected within ${this.#owner.connectTimeoutMs} ms`)
    this.#ask = undefined
    // Without a socket there is nothing to close yet: the kernel is still trying. The place in the pool is
    // held until it gives up or succeeds, so that a dead host cannot pile up attempts.
    if (this.#socket !== undefined) this.#leave(true)
  }

  // What the socket tells.

  opened(socket: UpstreamSocket): void {
    this.#socket = socket
    this.#outgoing.attach(socket)
    if (this.#owner.tls === undefined) this.#ready()
  }

  shook(problem: string | undefined): void {
    if (this.#state !== CONNECTING) return
    if (problem === undefined) this.#ready()
    else this.lost(`TLS: ${problem}`)
  }

  #ready(): void {
    this.#socket!.setNoDelay(true)
    const ask = this.#ask
    this.#ask = undefined
    this.#state = IDLE
    if (ask === undefined) this.#owner.connectionIdle(this)
    else this.begin(ask)
  }

  received(bytes: Buffer): void {
    this.#moved = true
    if (this.#state === ASKED) this.#readHead(bytes)
    else if (this.#state === ANSWERED) this.#readBody(bytes)
    // Bytes nobody asked for: whatever they are, they must not be taken for the next response.
    else this.#leave(true)
  }

  drained(): void {
    if (this.#state !== GONE) this.#outgoing.drained()
  }

  endReceived(): void {
    this.#ended = true
  }

  closed(error: Error | undefined): void {
    const inOrder = this.#ended && error === undefined
    if (this.#state === ANSWERED && inOrder && this.#decoder!.endsWithConnection) this.#finishBody()
    else this.lost(error === undefined ? "connection closed by the upstream" : describe(error))
  }

  /** A bug in whoever was called from here. Its exchange tells it as the cause; without one, the process. */
  faulted(error: Error): void {
    if (this.#ask === undefined) reportError(error)
    this.lost(`internal fault: ${error.stack ?? error.message}`)
  }

  lost(cause: string): void {
    if (this.#state === CONNECTING) this.#fail("connect", cause)
    else if (this.#state === ASKED) this.#fail("reset", cause)
    else if (this.#state === ANSWERED) this.#breakBody("aborted", cause)
    else this.#leave(true)
  }

  // The response.

  #readHead(bytes: Buffer): void {
    this.#heard = true
    const head = this.#heads.read(bytes)
    if (head.kind === "complete") this.#answer(head, this.#heads.bytes)
    else if (head.kind === "bad") this.#fail("protocol", head.reason)
  }

  interim({ status, fields }: ResponseHead): void {
    if (status === 103) this.#ask!.request.hinted?.(fields)
  }

  #answer(head: ResponseHead, bytes: Buffer): void {
    const ask = this.#ask!
    const { status, fields } = head
    if (status === 101) {
      const switched = new SwitchedSocket(this.#socket!, bytes, head.headEnd)
      // It is not HTTP any more: whoever asked has the socket, and keeps it.
      this.#socket = undefined
      this.#leave(true)
      ask.switched(head, switched)
      return
    }
    const decoder = bodyDecoder(head, ask.request.method)
    const end = decoder === undefined ? head.headEnd : decoder.decode(bytes, head.headEnd)
    if (end < 0) {
      this.#fail("protocol", "chunked framing broken")
      return
    }
    const some = decoder !== undefined && decoder.end > decoder.start
    const first = some ? takeOut(bytes, decoder.start, decoder.end) : EMPTY
    this.#persistent = head.persistent && end === bytes.length
    if (decoder === undefined || decoder.done) {
      const body = decoder === undefined ? undefined : first
      const owned = fields.letGoOf(first)
      this.#release()
      ask.request.finished("complete")
      ask.answer({ kind: "response", status, fields, body, owned })
      return
    }
    const body = new FedBody(this, fields.contentLength)
    if (some) body.push(first)
    this.#state = ANSWERED
    this.#decoder = decoder
    this.#body = body
    ask.answer({ kind: "response", status, fields, body })
  }

  #readBody(bytes: Buffer): void {
    const decoder = this.#decoder!
    const body = this.#body!
    const end = decoder.decode(bytes, 0)
    if (end < 0) {
      this.#breakBody("aborted", "chunked framing broken")
      return
    }
    let flowing = true
    if (decoder.end > decoder.start) {
      const whole = decoder.end - decoder.start === bytes.length
      flowing = body.push(whole ? bytes : takeOut(bytes, decoder.start, decoder.end))
      // The reader may have left in the meantime.
      if (this.#body !== body) return
    }
    if (decoder.done) {
      if (end < bytes.length) this.#persistent = false
      this.#finishBody()
    } else if (!flowing && !this.#paused) {
      this.#paused = true
      this.#socket!.pause()
    }
  }

  feedMore(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#moved = true
    this.#socket!.resume()
  }

  feedCancelled(): void {
    const { request } = this.#ask!
    this.#leave(true)
    request.finished("cancelled")
  }

  #finishBody(): void {
    const body = this.#body!
    const { request } = this.#ask!
    // Free before the end is told: the reader's next request may want this very connection.
    this.#release()
    request.finished("complete")
    body.complete()
  }

  // The request.

  requestSent(): void {
    if (this.#state === UPLOADING) this.#becomeIdle()
  }

  requestBroken(reason: string): void {
    if (this.#state === ASKED) this.#fail("cancelled", reason)
    else if (this.#state === ANSWERED) this.#breakBody("cancelled", reason)
    else this.#leave(true)
  }

  // Ends.

  /** The response is complete: what becomes of the connection. */
  #release(): void {
    this.#ask!.holder = undefined
    this.#ask = undefined
    this.#body = undefined
    this.#decoder = undefined
    if (this.#paused) this.feedMore()
    const { pending, deaf } = this.#outgoing
    if (!this.#persistent || this.#ended || deaf) this.#leave(pending)
    else if (pending) this.#state = UPLOADING
    else this.#becomeIdle()
  }

  #becomeIdle(): void {
    this.#state = IDLE
    this.#reused = true
    this.#moved = true
    this.#owner.connectionIdle(this)
  }

  #fail(reason: AskFailure, cause: string): void {
    const ask = this.#ask
    const stale = reason === "reset" && this.#reused && !this.#heard
    this.#leave(true)
    ask?.fail(reason, cause, this.#outgoing.sent, stale)
  }

  #breakBody(outcome: "aborted" | "cancelled", reason: string): void {
    const body = this.#body!
    const { request } = this.#ask!
    this.#leave(true)
    request.finished(outcome)
    body.breakOff(reason)
  }

  /** Gives up the connection and all that hangs on it; `hard`: what is in flight is thrown away. */
  #leave(hard: boolean): void {
    if (this.#state === GONE) return
    this.#state = GONE
    if (this.#ask !== undefined) this.#ask.holder = undefined
    this.#ask = undefined
    this.#body = undefined
    this.#decoder = undefined
    this.#heads.reset()
    this.#outgoing.stop()
    this.#owner.connectionGone(this)
    // Last: "close" comes at once, and reads that waited may be handled then.
    if (hard) this.#socket?.terminate()
    else this.#socket?.end()
  }
}
