import type { Body } from "../http1/body.ts"
import { Edits, type Fields, type NameSet } from "../http1/fields.ts"
import type { RequestHead } from "../http1/request_head.ts"
import type { ClientCertificate } from "../identity/certificate.ts"
import type { Principal } from "../identity/principal.ts"
import { newRequestId } from "../lib/request_id.ts"
import { NORMAL, type Priority } from "../observe/priority.ts"

/** What a door knows of a request before a route is found. */
export interface Arrival {
  /** Upper-case method token. */
  readonly method: string
  /** Canonical path: the one that is authorised is the one that is forwarded (see lib/target.ts). */
  readonly path: string
  /** The path holds what two readers could take differently; refused unless the route allows it. */
  readonly ambiguousPath: boolean
  /** Query without the `?`; "" when there is none. */
  readonly query: string
  readonly scheme: "http" | "https"
  /** Validated authority in lower case, with its port if one was sent. */
  readonly host: string
  /** Address of the connected peer, IPv4-mapped IPv6 written as IPv4; "unix:" for a Unix socket. */
  readonly peer: string
  /** Shown and proven by the peer in the TLS handshake, and verified; `undefined`: none was asked for or shown. */
  readonly certificate: ClientCertificate | undefined
  readonly fields: Fields
  /** `undefined` for requests without a body. */
  readonly body: Body
  /** Milliseconds of `now()` when the head was complete. */
  readonly startedAt: number
  /** Protocol as logged: "HTTP/1.1"; "HTTP" where the door cannot tell HTTP/1.1 and HTTP/2 apart. */
  readonly protocol: string
  /** Code of the failure to answer with when the door has found the request malformed; "" when it is sound. */
  readonly fault: FailureCodeOfDoor | ""
  /**
   * The head as it came, where method, path, query and host are just what its request line and Host say: it may be
   * passed on as it is. `undefined`: it may not.
   */
  readonly asCame?: RequestHead | undefined
  /**
   * The door gives the client's connection away with a 101: what follows passes it by, as bytes. Default: the runtime
   * reads WebSocket messages.
   */
  readonly givesSocket?: boolean
  /** What the connection keeps from one request to the next. Absent where the door knows no connection. */
  readonly kept?: Kept
  /**
   * Asked for when the exchange takes long: from now on the door tells `Exchange.clientLeft`, at once if the
   * client has left already. Absent where the door notices anyway.
   */
  watch?(): void
  /** Passes hints of the service on to the client, ahead of its answer (103). Absent where the door cannot. */
  hint?(fields: Fields): void
}

/** What would otherwise be made anew for every request of a connection. */
export interface Kept {
  /** Lines that tell a service where the last request came from, and the host they name. */
  forwarded: { readonly host: string; readonly lines: string } | undefined
}

/** What a door may find wrong with a request; codes of policies/failure.ts. */
export type FailureCodeOfDoor = "INVALID_REQUEST" | "INVALID_HOST" | "INVALID_PATH" | "HEADERS_TOO_LARGE"

/** What policies and targets may know of a compiled route. */
export interface RouteInfo {
  /** Small number, stable across reloads by label: the key of its metrics. */
  readonly id: number
  /** Template for logs and metrics, e.g. "GET,POST api.example.com/api/v1/context/*". Never holds client data. */
  readonly label: string
  /** Name of its service; "" when the gateway answers itself. */
  readonly service: string
}

/** A WebSocket handshake a target has accepted; the door completes it. */
export interface AcceptedSocket {
  /**
   * Who answers the frames: what the door's runtime calls with each event (realtime/socket.ts), or whom it gives the
   * connection to (realtime/frame_relay.ts).
   */
  readonly handler: unknown
  /** Chosen subprotocol; "" for none. */
  readonly protocol: string
  /** The door could not complete the handshake: release what was opened for it. */
  refused(): void
}

/** A complete answer before edits: from the upstream, or made by the gateway. */
export interface Answer {
  readonly status: number
  readonly fields: Fields
  readonly body: Body
  /** The memory around the body may be given back when it is sent: nobody else has it. */
  readonly owned?: boolean
}

const NONE: readonly string[] = Object.freeze([])

/**
 * One request and its answer. Policies, targets and balancers see nothing else: no `Request`, `Response`
 * or `Headers`. A door makes it out of bytes and makes bytes out of its `answer`.
 */
export class Exchange {
  readonly arrival: Arrival
  readonly method: string
  readonly path: string
  readonly query: string
  readonly host: string
  readonly startedAt: number

  /** Address of the client after trusted proxies; equals `arrival.peer` when none is trusted. */
  client: string
  /** "http" or "https" as the client used it, after trusted proxies. */
  scheme: "http" | "https"
  /** The client's certificate, after trusted proxies; verified. `undefined`: it has shown none. */
  certificate: ClientCertificate | undefined
  route: RouteInfo | undefined = undefined
  /** Raw values of the route's parameters and wildcard, in order, and the parameters' names. */
  captures: readonly string[] = NONE
  captureNames: readonly string[] = NONE
  /** Path sent upstream (after strip_prefix or rewrite), still canonical. */
  upstreamPath: string
  /** Request body; a policy that read or changed it puts the new one here. */
  body: Body
  readonly requestEdits: Edits
  readonly responseEdits: Edits
  /** `undefined` until a target or a refusal has answered. */
  answer: Answer | undefined = undefined

  /** Set in place of `answer`, or with a 101, when the client's WebSocket handshake is accepted. */
  socket: AcceptedSocket | undefined = undefined

  /** The peer is a trusted proxy, whose headers are believed; set before the route is found. */
  trusted = false
  /** How important it is under load: set by the `priority` step. */
  priority: Priority = NORMAL

  /** Who is calling, set by the `auth` step; `undefined` where nobody was asked or nobody answered. */
  principal: Principal | undefined = undefined

  /** Code of the failure the gateway answered with; "" when it did not fail. */
  failure = ""
  /** Address of the instance that answered last; "" when none was asked. */
  instance = ""
  /** Upstream attempts beyond the first. */
  retries = 0
  /** Milliseconds spent waiting for upstreams: from the first attempt's start to the answer's head. */
  upstreamMs = 0
  /** Body bytes received from the client and sent to it. Kept by the door. */
  bytesIn = 0
  bytesOut = 0
  /** W3C trace id and span id (lower-case hex), set by the trace step; "" when tracing is off. */
  traceId = ""
  spanId = ""
  /** Why the request body stopped: malformed, too large, or too slow; "" while it is fine. */
  uploadFault: "" | "INVALID_REQUEST" | "PAYLOAD_TOO_LARGE" | "REQUEST_TIMEOUT" = ""
  /** Work to stop when the client leaves before its answer is complete. Not a closure: it is set on every request. */
  pending: { cancel(): void } | undefined = undefined
  /** True once the client has left. */
  gone = false
  /** Milliseconds of `now()` when it was over, for steps that account; 0 before. */
  endedAt = 0

  #id = ""
  #params: Readonly<Record<string, string>> | undefined

  constructor(arrival: Arrival, droppedFromRequest: NameSet, droppedFromResponse: NameSet) {
    this.arrival = arrival
    this.method = arrival.method
    this.path = arrival.path
    this.query = arrival.query
    this.host = arrival.host
    this.startedAt = arrival.startedAt
    this.client = arrival.peer
    this.scheme = arrival.scheme
    this.certificate = arrival.certificate
    this.upstreamPath = arrival.path
    this.body = arrival.body
    this.requestEdits = new Edits(droppedFromRequest)
    this.responseEdits = new Edits(droppedFromResponse)
  }

  /** Request id: accepted from the client, else made when first asked for. */
  get id(): string {
    if (this.#id === "") this.#id = newRequestId(this.startedAt)
    return this.#id
  }
  set id(id: string) {
    this.#id = id
  }

  /** Path parameters by name, percent-decoded; `*` is what a wildcard matched. */
  get params(): Readonly<Record<string, string>> {
    if (this.#params === undefined) {
      const params: Record<string, string> = Object.create(null)
      for (let i = 0; i < this.captures.length; i++)
        params[this.captureNames[i] ?? "*"] = decodeURIComponent(this.captures[i]!)
      this.#params = params
    }
    return this.#params
  }

  /** Request header as it came from the client; name in lower case. */
  header(name: string): string | undefined {
    return this.arrival.fields.get(name)
  }

  /** Response header as it would be sent now: the answer's, after edits. */
  responseHeader(name: string): string | undefined {
    return this.answer === undefined ? undefined : this.responseEdits.get(name, this.answer.fields)
  }

  /** The door calls this once when the client has left. */
  clientLeft(): void {
    if (this.gone) return
    this.gone = true
    this.pending?.cancel()
  }
}
