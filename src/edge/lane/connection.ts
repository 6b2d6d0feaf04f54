import type { Body } from "../../http1/body.ts"
import type { Feed } from "../../http1/fed_body.ts"
import type { Fields } from "../../http1/fields.ts"
import { requestDecoder } from "../../http1/framing.ts"
import { HeldHead } from "../../http1/held_head.ts"
import { MAX_REQUEST_HEAD_BYTES, parseRequestHead, type RequestHead } from "../../http1/request_head.ts"
import { Writer } from "../../http1/writer.ts"
import { takeOut } from "../../lib/take_out.ts"
import type { Exchange, FailureCodeOfDoor } from "../../upstream/exchange.ts"
import type { Origin } from "../origin.ts"
import type { RawSocket, SocketEvents } from "../raw_socket.ts"
import { UNREAD_BYTES } from "../upload.ts"
import { LaneArrival, type LaneWay, noArrival } from "./arrival.ts"
import { Incoming } from "./incoming.ts"
import { Intake } from "./intake.ts"
import { Outgoing, type OutgoingOwner } from "./outgoing.ts"
import type { LaneLimits, LaneMember, LaneOwner } from "./owner.ts"
import { Patience } from "./patience.ts"
import { ANSWERING, ASKED, AWAITED, CLOSING, EMPTYING, GONE, READING } from "./state.ts"
import { switchOver, takesUpgrade } from "./upgrade.ts"

/**
 * A client's HTTP/1.1 connection at byte level. It takes one request at a time, in order; what the lane does not
 * speak it hands over whole, where a request begins.
 */
export class LaneConnection implements SocketEvents, Feed, OutgoingOwner, LaneMember, LaneWay {
  slot = 0
  readonly origin: Origin
  forwarded: LaneWay["forwarded"] = undefined
  lastHost: LaneWay["lastHost"] = undefined
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
  /** The client sends no more. */
  #ended = false
  /** No further request is taken. */
  #last = false
  /** The client waits for leave to send its body. */
  #expects = false
  readonly #patience = new Patience()

  constructor(socket: RawSocket, origin: Origin, owner: LaneOwner) {
    this.#socket = socket
    this.origin = origin
    this.#owner = owner
    this.#intake = new Intake(socket, this.#patience.received)
    this.#writer = new Writer(socket)
    this.#outgoing = new Outgoing(this.#writer, owner, this)
  }

  // What the socket tells.

  received(bytes: Buffer): void {
    this.#patience.received.moved = true
    if (this.#state === READING) {
      if (this.#writer.empty) this.#read(bytes)
      else this.#keepAhead(bytes, 0)
    } else if (this.#state >= CLOSING) return
    else if (this.#incoming !== undefined) this.#readBody(this.#incoming, bytes)
    else this.#keepAhead(bytes, 0)
  }

  drained(): void {
    if (!this.#writer.drained()) return
    if (this.#state === ANSWERING) this.#outgoing.resume()
    else if (this.#state === READING) this.#next()
    else if (this.#state === CLOSING) this.#shut()
  }

  endReceived(): void {
    this.#ended = true
    if (this.#exchange !== undefined) this.#leave()
    else this.#close()
  }

  closed(): void {
    if (this.#state !== GONE) this.#leave()
    this.#owner.gone(this)
  }

  // The request.

  #read(received: Buffer): void {
    const bytes = this.#head.join(received, MAX_REQUEST_HEAD_BYTES)
    if (bytes === undefined) return
    const head = parseRequestHead(bytes, MAX_REQUEST_HEAD_BYTES)
    if (head.kind === "complete") this.#begin(head, bytes)
    else if (head.kind === "incomplete") this.#head.keep(bytes, 0)
    else if (head.kind === "not_plain") this.#handOver(bytes)
    else this.#refuse(head.tooLarge ? "HEADERS_TOO_LARGE" : "INVALID_REQUEST")
  }

  #begin(head: RequestHead, bytes: Buffer): void {
    const { fields } = head
    // An upgrade takes the socket itself: what is to be written to it goes out before.
    const upgrades = fields.get("upgrade") !== undefined
    if (upgrades && !(takesUpgrade(head, this, this.#owner) && this.#writer.flush())) {
      this.#handOver(bytes)
      return
    }
    const refusal = this.#owner.refusal(this.origin.address)
    if (refusal !== undefined) {
      // Not into the answer before it, and cut off at once: a flood of these must not hold connections.
      if (this.#writer.flush()) {
        this.#socket.end(refusal)
        this.#state = GONE
      } else this.#keepAhead(bytes, 0)
      return
    }
    const startedAt = this.#owner.now()
    const decoder = requestDecoder(fields)
    let end = head.headEnd
    let body: Body
    if (decoder !== undefined) {
      end = decoder.decode(bytes, end)
      if (end < 0) {
        this.#refuse("INVALID_REQUEST")
        return
      }
      if (decoder.done) body = takeOut(bytes, decoder.start, decoder.end)
      else {
        this.#incoming = new Incoming(this, decoder, fields.contentLength, startedAt)
        body = this.#incoming.body
      }
    }
    const exchange = this.#owner.gateway.begin(new LaneArrival(head, body, this, startedAt))
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
    this.#ask(this.#owner.gateway.begin(noArrival(code, this.origin, this.#owner.now())))
  }

  #ask(exchange: Exchange): void {
    this.#patience.renew()
    this.#exchange = exchange
    this.#state = ASKED
    this.#owner.gateway.handle(exchange).then(this.#handled)
  }

  /** From here on the other door has the connection. */
  #handOver(bytes: Buffer): void {
    if (!this.#writer.flush()) {
      this.#keepAhead(bytes, 0)
      return
    }
    const other = this.#owner.handOver(this.#socket, this.origin)
    if (other === undefined) {
      this.#socket.terminate()
      return
    }
    this.#state = GONE
    this.#socket.data = other
    this.#owner.gone(this)
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

  /** The body's reader wants more. */
  feedMore(): void {
    if (this.#expects) this.#outgoing.allowBody()
    this.#expects = false
    this.#intake.resume()
  }

  /** The body's reader has left. */
  feedCancelled(): void {
    this.#wanted = false
    this.#intake.resume()
  }

  // The answer.

  readonly #handled = (): void => {
    const exchange = this.#exchange!
    const { answer } = exchange
    if (this.#state !== ASKED || exchange.gone || answer === undefined) {
      if (answer?.body !== undefined && !(answer.body instanceof Uint8Array)) answer.body.cancel()
      exchange.socket?.refused()
      this.#over(exchange)
      this.#leave()
      return
    }
    if (exchange.socket !== undefined && switchOver(exchange, this.#socket, this.#intake, this.#owner)) {
      this.#state = GONE
      this.#owner.gone(this)
      this.#over(exchange)
      return
    }
    this.#last ||=
      this.#expects ||
      this.#owner.draining ||
      this.origin.listener.retired ||
      exchange.arrival.fault !== "" ||
      exchange.uploadFault !== "" ||
      (this.#incoming !== undefined && this.#incoming.left > UNREAD_BYTES)
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

  /** The service has hints for the client. */
  hint(fields: Fields): void {
    if (this.#state === ASKED) this.#outgoing.hint(fields)
  }

  /** The answer is complete. */
  answered(): void {
    this.#dropBody("answered before the request was complete")
    this.#over(this.#exchange!)
    // A stream that began before the end of the gateway could not say so in its head.
    if (this.#last || this.#owner.draining) this.#close()
    else if (this.#incoming === undefined) this.#next()
    else {
      this.#state = EMPTYING
      this.#intake.resume()
    }
  }

  #next(): void {
    this.#state = READING
    // A client that does not read its answers gets no more of them.
    const ahead = this.#writer.empty ? this.#intake.take() : undefined
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
    this.#owner.gateway.finish(exchange)
  }

  /** The client has left, or is cut off. */
  #leave(): void {
    const exchange = this.#exchange
    const answering = this.#state === ANSWERING
    this.#state = GONE
    this.#writer.flush()
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
    this.#incoming = undefined
    this.#head.drop()
    this.#intake.resume()
    if (this.#writer.flush()) this.#shut()
  }

  #shut(): void {
    // Closing a socket with bytes unread would cost the client its answer: it goes first.
    if (this.#ended) this.#socket.end()
    else this.#socket.shutdown()
  }

  /** Closes it if no request is under way; `hard`: in any case, at once. */
  end(hard: boolean): void {
    if (hard) this.#leave()
    else if (this.#writer.flush() && this.#idle) this.#socket.end()
  }

  /** Acts on whatever is due. `at`: the time now. */
  sweep(at: number, limits: LaneLimits): void {
    if (this.#state === GONE) return
    const idle = this.#idle
    this.#patience.wrote(this.#writer)
    const awaited = this.#state === READING ? (idle ? "request" : "head") : AWAITED[this.#state]!
    if (this.#patience.overdue(awaited, at, limits)) {
      if (idle) this.#close()
      else this.#leave()
    } else if (awaited === "answer" && this.#wanted && this.#incoming?.tooSlow(limits, at)) {
      this.#exchange!.uploadFault = "REQUEST_TIMEOUT"
      this.#dropBody("the request body came too slowly")
    }
  }

  /** No request is under way, and none has begun. */
  get #idle(): boolean {
    return this.#state === READING && !this.#head.some && this.#writer.empty
  }
}
