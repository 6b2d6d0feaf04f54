import type { Body } from "../../http1/body.ts"
import type { Feed } from "../../http1/fed_body.ts"
import { ChunkedDecoder, LengthDecoder } from "../../http1/framing.ts"
import { HeldHead } from "../../http1/held_head.ts"
import { parseRequestHead, type RequestHead } from "../../http1/request_head.ts"
import { takeOut } from "../../lib/take_out.ts"
import type { Exchange, FailureCodeOfDoor } from "../../upstream/exchange.ts"
import type { RawSocket, SocketEvents } from "../one_way.ts"
import type { Origin } from "../origin.ts"
import { UNREAD_BYTES } from "../upload.ts"
import { LaneArrival, NoArrival } from "./arrival.ts"
import { Incoming } from "./incoming.ts"
import { Intake } from "./intake.ts"
import { Outgoing, type OutgoingOwner } from "./outgoing.ts"
import type { LaneLimits, LaneOwner } from "./owner.ts"
import { Stillness } from "./stillness.ts"
import { Writer } from "./writer.ts"

/** A request head with its empty line may have as many bytes as on `Bun.serve`. */
const MAX_HEAD_BYTES = 16_384

/** After the last answer, the client has this long to close its side. */
const LINGER_MS = 10_000

/** Lets a client send its body (RFC 9110 section 15.2.1). */
const CONTINUE = Buffer.from("HTTP/1.1 100 Continue\r\n\r\n")

/** Waiting for a request, or within its head. */
const READING = 0
/** The exchange runs; there is no answer yet. */
const ASKED = 1
/** The answer's body is going out. */
const ANSWERING = 2
/** The answer is complete, the request's body is not: the rest is read and thrown away. */
const EMPTYING = 3
/** Another door has it. */
const HANDED_OVER = 4
/** No further answer; what the client still sends is thrown away. */
const CLOSING = 5
const GONE = 6

/**
 * A client's HTTP/1.1 connection at byte level. It takes one request at a time, in order; what the lane does not
 * speak it hands over whole, where a request begins.
 */
export class LaneConnection implements SocketEvents, Feed, OutgoingOwner {
  /** Place in the lane's list; kept by the lane. */
  slot = 0
  readonly #origin: Origin
  readonly #owner: LaneOwner
  readonly #socket: RawSocket
  readonly #intake: Intake
  readonly #writer: Writer
  readonly #outgoing: Outgoing
  readonly #head = new HeldHead()
  #state = READING
  #exchange: Exchange | undefined
  /** The request's body, until the last byte of it has come. */
  #incoming: Incoming | undefined
  /** Somebody still wants that body. */
  #wanted = true
  #other: SocketEvents | undefined
  /** The client sends no more. */
  #ended = false
  /** No further request is taken. */
  #last = false
  /** The client waits for leave to send its body. */
  #expects = false
  readonly #still = new Stillness()
  readonly #stuck = new Stillness()
  /** When a sweep first saw the head that is not complete, or the connection closing; 0: it has not. */
  #since = 0

  constructor(socket: RawSocket, origin: Origin, owner: LaneOwner) {
    this.#socket = socket
    this.#origin = origin
    this.#owner = owner
    this.#intake = new Intake(socket)
    this.#writer = new Writer(socket, this.#stuck)
    this.#outgoing = new Outgoing(this.#writer, owner, this)
  }

  // What the socket tells.

  received(bytes: Buffer): void {
    this.#still.moved = true
    if (this.#state === READING) {
      // A client that does not read its answers gets no more of them.
      if (this.#writer.empty) this.#read(bytes)
      else this.#keepAhead(bytes, 0)
    } else if (this.#state === HANDED_OVER) this.#other!.received(bytes)
    else if (this.#state >= CLOSING) return
    else if (this.#incoming !== undefined) this.#readBody(this.#incoming, bytes)
    else this.#keepAhead(bytes, 0)
  }

  drained(): void {
    if (this.#state === HANDED_OVER) this.#other!.drained()
    else if (!this.#writer.drained()) return
    else if (this.#state === ANSWERING) this.#outgoing.resume()
    else if (this.#state === READING) this.#readAhead()
    else if (this.#state === CLOSING) this.#shut()
  }

  endReceived(): void {
    this.#ended = true
    if (this.#state === HANDED_OVER) this.#other!.endReceived()
    else if (this.#exchange !== undefined) this.#leave()
    else this.#close()
  }

  closed(error: Error | undefined): void {
    if (this.#state === HANDED_OVER) this.#other!.closed(error)
    else if (this.#state !== GONE) this.#leave()
    this.#state = GONE
    this.#owner.gone(this)
  }

  /** Something in here threw: neither side knows any more where it is. */
  faulted(): void {
    if (this.#state !== HANDED_OVER) this.#leave()
    else this.#socket.terminate()
  }

  // The request.

  #read(received: Buffer): void {
    const bytes = this.#head.join(received, MAX_HEAD_BYTES)
    if (bytes === undefined) return
    const head = parseRequestHead(bytes, MAX_HEAD_BYTES)
    if (head.kind === "complete") this.#begin(head, bytes)
    else if (head.kind === "incomplete") this.#head.keep(bytes, 0)
    else if (head.kind === "not_plain") this.#handOver(bytes)
    else this.#refuse(head.tooLarge ? "HEADERS_TOO_LARGE" : "INVALID_REQUEST")
  }

  #begin(head: RequestHead, bytes: Buffer): void {
    const { fields } = head
    if (fields.get("upgrade") !== undefined) {
      this.#handOver(bytes)
      return
    }
    const refusal = this.#owner.refusal(this.#origin.address)
    if (refusal !== undefined) {
      this.#writer.write(refusal, 0, refusal.length)
      this.#close()
      return
    }
    const startedAt = this.#owner.now()
    const { chunked, contentLength } = fields
    let end = head.headEnd
    let body: Body
    if (chunked || (contentLength !== undefined && contentLength > 0)) {
      const decoder = chunked ? new ChunkedDecoder() : new LengthDecoder(contentLength!)
      end = decoder.decode(bytes, end)
      if (end < 0) {
        this.#refuse("INVALID_REQUEST")
        return
      }
      if (decoder.done) body = takeOut(bytes, decoder.start, decoder.end)
      else {
        this.#incoming = new Incoming(this, decoder, contentLength, startedAt)
        body = this.#incoming.body
      }
    }
    const exchange = this.#owner.begin(new LaneArrival(head, body, this.#origin, startedAt))
    // Services read one line of cookies (RFC 6265 section 5.4).
    if (fields.count("cookie") > 1) exchange.requestEdits.set("cookie", fields.get("cookie")!)
    this.#last = fields.close
    this.#wanted = true
    if (this.#incoming !== undefined) {
      this.#incoming.begin(exchange, bytes)
      this.#expects = !this.#incoming.begun && fields.get("expect")?.toLowerCase() === "100-continue"
    } else {
      if (body instanceof Uint8Array) exchange.bytesIn = body.length
      if (end < bytes.length) this.#keepAhead(bytes, end)
    }
    this.#ask(exchange)
  }

  /** Answers what is no request; nobody knows where the next one would start. */
  #refuse(code: FailureCodeOfDoor): void {
    this.#ask(this.#owner.begin(new NoArrival(code, this.#origin, this.#owner.now())))
  }

  #ask(exchange: Exchange): void {
    this.#since = 0
    this.#exchange = exchange
    this.#state = ASKED
    this.#owner.handle(exchange).then(this.#handled)
  }

  #handOver(bytes: Buffer): void {
    const other = this.#owner.handOver(this.#socket, this.#origin)
    if (other === undefined) {
      this.#socket.terminate()
      return
    }
    this.#state = HANDED_OVER
    this.#other = other
    other.received(bytes)
  }

  #readBody(incoming: Incoming, bytes: Buffer): void {
    const end = incoming.read(bytes, this.#wanted)
    if (end < 0) {
      // Whoever reads the body knows; the answer will close.
      this.#incoming = undefined
      this.#last = true
      if (this.#state === EMPTYING) this.#close()
    } else if (incoming.complete) {
      this.#incoming = undefined
      if (end < bytes.length) this.#keepAhead(bytes, end)
      if (this.#state === EMPTYING) this.#next()
    } else if (this.#wanted && incoming.body.full) this.#intake.pause()
  }

  #keepAhead(bytes: Buffer, at: number): void {
    // After a body with broken framing nothing that follows means anything.
    if (!this.#last) this.#intake.keep(bytes, at)
  }

  #resume(): void {
    if (this.#intake.resume()) this.#still.moved = true
  }

  /** The body's reader wants more. */
  feedMore(): void {
    if (this.#expects) {
      this.#expects = false
      this.#writer.write(CONTINUE, 0, CONTINUE.length)
    }
    this.#resume()
  }

  /** The body's reader has left. */
  feedCancelled(): void {
    this.#wanted = false
    this.#resume()
  }

  // The answer.

  readonly #handled = (): void => {
    const exchange = this.#exchange!
    const { answer } = exchange
    if (this.#state !== ASKED || exchange.gone || answer === undefined) {
      if (answer?.body !== undefined && !(answer.body instanceof Uint8Array)) answer.body.cancel()
      this.#over(exchange)
      this.#leave()
      return
    }
    if (this.#closesAfter(exchange)) this.#last = true
    this.#state = ANSWERING
    this.#outgoing.send(exchange, this.#last)
  }

  /** The answer broke off within its body: the client must see that it is not whole. */
  answerBroken(): void {
    const exchange = this.#exchange!
    if (exchange.failure === "") exchange.failure = "BAD_GATEWAY"
    this.#over(exchange)
    this.#leave()
  }

  #closesAfter(exchange: Exchange): boolean {
    return (
      this.#expects ||
      this.#owner.draining ||
      this.#origin.listener.retired ||
      exchange.arrival.fault !== "" ||
      exchange.uploadFault !== "" ||
      (this.#incoming !== undefined && this.#incoming.left > UNREAD_BYTES)
    )
  }

  /** The answer is complete. */
  answered(): void {
    this.#dropBody("answered before the request was complete")
    this.#over(this.#exchange!)
    if (this.#last) this.#close()
    else if (this.#incoming === undefined) this.#next()
    else {
      this.#state = EMPTYING
      this.#resume()
    }
  }

  #next(): void {
    this.#state = READING
    if (this.#writer.empty) this.#readAhead()
  }

  #readAhead(): void {
    const ahead = this.#intake.take()
    if (ahead !== undefined) this.#read(ahead)
  }

  // Ends.

  /** Nobody needs the rest of the request's body: whoever still reads it is told that it broke off. */
  #dropBody(reason: string): void {
    if (this.#incoming === undefined || !this.#wanted) return
    this.#wanted = false
    this.#incoming.body.breakOff(reason)
  }

  #over(exchange: Exchange): void {
    this.#exchange = undefined
    this.#owner.finish(exchange)
  }

  /** The client has left, or is cut off. */
  #leave(): void {
    const exchange = this.#exchange
    const answering = this.#state === ANSWERING
    this.#state = GONE
    this.#writer.drop()
    this.#head.drop()
    if (exchange !== undefined) {
      exchange.clientLeft()
      if (answering) {
        this.#outgoing.cancel()
        this.#over(exchange)
      }
    }
    this.#dropBody("the client has left")
    this.#incoming = undefined
    this.#socket.terminate()
  }

  /** Takes no further request; what is written still goes out. */
  #close(): void {
    this.#state = CLOSING
    this.#since = 0
    this.#incoming = undefined
    this.#head.drop()
    this.#resume()
    if (this.#writer.empty) this.#shut()
  }

  #shut(): void {
    // Closing a socket with bytes unread would cost the client its answer: it goes first.
    if (this.#ended) this.#socket.end()
    else this.#socket.shutdown()
  }

  /** Closes it if no request is under way. */
  closeIdle(): void {
    if (this.#state === READING && !this.#head.some && this.#writer.empty) this.#socket.end()
  }

  /** Cuts it. */
  terminate(): void {
    this.#socket.terminate()
  }

  /** Acts on whatever is due. `at`: the time now. */
  sweep(at: number, limits: LaneLimits): void {
    const { silenceMs } = limits
    const stillMs = this.#still.at(at)
    if (this.#writer.empty) this.#stuck.moved = true
    const stuckMs = this.#stuck.at(at)
    if (silenceMs > 0 && stuckMs > silenceMs) this.#leave()
    else if (this.#state === READING) this.#sweepReading(at, stillMs, limits)
    else if (this.#state === CLOSING) {
      if (this.#since === 0) this.#since = at
      else if (at - this.#since > LINGER_MS) this.#leave()
    } else if (this.#state === EMPTYING) {
      if (silenceMs > 0 && stillMs > silenceMs) this.#leave()
    } else if (this.#incoming !== undefined && this.#wanted && this.#incoming.tooSlow(limits, at)) {
      this.#exchange!.uploadFault = "REQUEST_TIMEOUT"
      this.#dropBody("the request body came too slowly")
    }
  }

  #sweepReading(at: number, stillMs: number, { headMs, idleMs }: LaneLimits): void {
    if (this.#head.some) {
      if (this.#since === 0) this.#since = at
      else if (at - this.#since > headMs) this.#leave()
    } else if (stillMs > idleMs) this.#close()
  }
}
