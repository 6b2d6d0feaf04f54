import type { Body } from "../http1/body.ts"
import type { FieldList } from "../http1/field_list.ts"
import type { ClientCertificate } from "../identity/certificate.ts"
import type { Clock } from "../lib/clock.ts"
import { canonicalHost } from "../lib/target.ts"
import type { Arrival, Exchange, FailureCodeOfDoor } from "../upstream/exchange.ts"
import { hasTwoCredentials, hasTwoTypes, originForm } from "./arrival_faults.ts"
import type { Origin } from "./origin.ts"
import { readFields } from "./serve_fields.ts"
import { Upload } from "./upload.ts"

/** What a request's port and connection say of it. */
export interface Way {
  readonly secure: boolean
  readonly http2: boolean
  /** Who stands behind a connection that was handed over; `undefined`: the client itself has connected. */
  readonly origin: Origin | undefined
}

const CONTENT_LENGTH = /^\d{1,15}$/

/**
 * A request as the Serve door sees it. What the runtime lets through although it must not pass (malformed
 * or several Hosts, a path without authority, a GET with a body, several lengths) is named in `fault`.
 */
export class ServeArrival implements Arrival {
  readonly method: string
  readonly path: string = "/"
  readonly ambiguousPath: boolean = false
  readonly query: string = ""
  readonly scheme: "http" | "https"
  readonly host: string = ""
  readonly peer: string
  readonly certificate: ClientCertificate | undefined
  readonly fields: FieldList
  readonly body: Body = undefined
  readonly startedAt: number
  readonly protocol: string
  readonly fault: FailureCodeOfDoor | "" = ""
  /** The body while it is read from the socket. */
  readonly upload: Upload | undefined = undefined
  exchange: Exchange | undefined = undefined
  readonly #request: Request
  #watched = false

  /** `peer`: address of who has connected, "" when it is not known. */
  constructor(request: Request, peer: string, way: Way, clock: Clock) {
    const { http2, origin } = way
    this.#request = request
    this.startedAt = clock()
    this.method = request.method
    this.scheme = origin?.scheme ?? (way.secure ? "https" : "http")
    this.certificate = origin?.certificate
    const fields = readFields(request.headers)
    this.fields = fields
    // HTTP/2 has no Connection and no Upgrade (RFC 9113 section 8.2.2).
    this.protocol = http2 && fields.get("connection") === undefined ? "HTTP" : "HTTP/1.1"
    this.peer = peer

    const host = canonicalHost(fields.get("host") ?? "")
    const { url } = request
    // With a malformed Host the runtime's URL is a bare path, and whoever looks for the path in it finds another one.
    if (host === undefined || url.charCodeAt(0) !== 104) {
      this.fault = "INVALID_HOST"
      return
    }
    this.host = host
    const pathStart = url.indexOf("/", 8)
    const form = originForm(url, pathStart)
    if (form === undefined) {
      this.fault = "INVALID_PATH"
      return
    }
    this.path = form.path.path
    this.ambiguousPath = form.path.ambiguous
    this.query = form.query

    if (hasTwoCredentials(fields)) {
      this.fault = "INVALID_REQUEST"
      return
    }
    const length = fields.get("content-length")
    const coding = fields.get("transfer-encoding")
    const chunked = coding !== undefined
    if (length === undefined && !chunked && !http2) return
    if (this.method === "GET" || this.method === "HEAD") {
      // The runtime drops such a body but keeps its length: forwarded, it would swallow the next request.
      if (chunked || (length !== undefined && length !== "0")) this.fault = "INVALID_REQUEST"
      return
    }
    // The runtime takes an empty member of a list of codings (", chunked"), which others may not.
    const listed = chunked && coding.length !== "chunked".length
    if (listed || (length !== undefined && !CONTENT_LENGTH.test(length)) || hasTwoTypes(fields)) {
      this.fault = "INVALID_REQUEST"
      return
    }
    if (length === "0" || (length === undefined && !chunked && request.body === null)) return
    const received = (count: number): void => {
      if (this.exchange !== undefined) this.exchange.bytesIn += count
    }
    this.upload = new Upload(request, length === undefined ? undefined : Number(length), clock, received)
    this.body = this.upload
  }

  /**
   * The runtime tells that a client has left by the request's abort signal, which costs more than finding the
   * route. Nearly all requests are over before anybody could have left, so it is made only for the others.
   */
  watch(): void {
    if (this.#watched) return
    this.#watched = true
    const { signal } = this.#request
    if (signal.aborted) this.handleEvent()
    else signal.addEventListener("abort", this)
  }

  /**
   * The request is over although its connection is not: it has become a WebSocket. The runtime keeps the signal
   * as long as that lives, and with the listener all of the request.
   */
  unwatch(): void {
    if (this.#watched) this.#request.signal.removeEventListener("abort", this)
    this.#watched = true
  }

  /** Called by the request's abort signal: the client has left. */
  handleEvent(): void {
    this.exchange?.clientLeft()
  }
}

/** IPv4 in its own notation where the runtime shows it mapped into IPv6. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") ? address.slice(7) : address
}
