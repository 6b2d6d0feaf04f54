import type { Body } from "../../http1/body.ts"
import { NO_FIELDS } from "../../http1/field_list.ts"
import type { Fields } from "../../http1/fields.ts"
import type { RequestHead } from "../../http1/request_head.ts"
import type { ClientCertificate } from "../../identity/certificate.ts"
import { canonicalHost } from "../../lib/target.ts"
import type { Arrival, FailureCodeOfDoor, Kept } from "../../upstream/exchange.ts"
import { hasTwoCredentials, hasTwoTypes, originForm } from "../arrival_faults.ts"
import type { Origin } from "../origin.ts"

const SLASH = 47

/** The connection a request came on. */
export interface LaneWay extends Kept {
  readonly origin: Origin
  /** The Host of the last request as it was sent, and its canonical form. */
  lastHost: { readonly sent: string; readonly host: string } | undefined
  hint(fields: Fields): void
}

/** A request as the lane read it: nothing is hidden, so what is malformed is known for certain. */
export class LaneArrival implements Arrival {
  readonly method: string
  readonly path: string = "/"
  readonly ambiguousPath: boolean = false
  readonly query: string = ""
  readonly scheme: "http" | "https"
  readonly host: string = ""
  readonly peer: string
  readonly certificate: ClientCertificate | undefined
  readonly fields: Fields
  readonly body: Body
  readonly startedAt: number
  readonly protocol = "HTTP/1.1"
  readonly givesSocket = true
  readonly fault: FailureCodeOfDoor | "" = ""
  readonly asCame: RequestHead | undefined = undefined
  readonly kept: LaneWay

  constructor(head: RequestHead, body: Body, way: LaneWay, startedAt: number) {
    const { method, target, fields } = head
    const { origin } = way
    this.kept = way
    this.method = method
    this.fields = fields
    this.body = body
    this.startedAt = startedAt
    this.scheme = origin.scheme
    this.peer = origin.address
    this.certificate = origin.certificate

    let named = way.lastHost
    if (named === undefined || !fields.is("host", named.sent)) {
      // Several Hosts are joined, which no host matches.
      const sent = fields.get("host") ?? ""
      const canonical = canonicalHost(sent)
      if (canonical === undefined) {
        this.fault = "INVALID_HOST"
        return
      }
      named = way.lastHost = { sent, host: canonical }
    }
    const { host } = named
    this.host = host
    let at = 0
    if (target.charCodeAt(0) !== SLASH) {
      at = pathOfAbsolute(target, host)
      if (at < 0) {
        this.fault = at === OTHER_HOST ? "INVALID_HOST" : "INVALID_PATH"
        return
      }
    }
    const form = originForm(target, at)
    if (form === undefined) {
      this.fault = "INVALID_PATH"
      return
    }
    this.path = form.path.path
    this.ambiguousPath = form.path.ambiguous
    this.query = form.query
    if (at === 0 && form.asCame && named.sent === host) this.asCame = head
    // A body that a GET brings means nothing (RFC 9110 section 9.3.1), and services disagree on where it ends.
    const bodiless = body !== undefined && (method === "GET" || method === "HEAD")
    if (bodiless || hasTwoCredentials(fields) || (body !== undefined && hasTwoTypes(fields)))
      this.fault = "INVALID_REQUEST"
  }

  hint(fields: Fields): void {
    // Before a 101 nothing may wait to be written.
    if (this.fields.get("upgrade") === undefined) this.kept.hint(fields)
  }
}

const NO_PATH = -1
const OTHER_HOST = -2

/**
 * Where the path begins in a target in absolute form (RFC 9112 section 3.2.2), which must name the same host as the
 * Host field: a service that believes the other one of the two would answer for another host than was decided on.
 */
function pathOfAbsolute(target: string, host: string): number {
  const start = /^https?:\/\//i.exec(target)
  if (start === null) return NO_PATH
  const slash = target.indexOf("/", start[0].length)
  if (slash === -1) return NO_PATH
  return canonicalHost(target.slice(start[0].length, slash)) === host ? slash : OTHER_HOST
}

/** What stands for a request whose head cannot be read: it is answered, logged and counted like any other. */
export function noArrival(fault: FailureCodeOfDoor, origin: Origin, startedAt: number): Arrival {
  const { scheme, address: peer, certificate } = origin
  return {
    method: "",
    path: "/",
    ambiguousPath: false,
    query: "",
    scheme,
    host: "",
    peer,
    certificate,
    fields: NO_FIELDS,
    body: undefined,
    startedAt,
    protocol: "HTTP/1.1",
    fault,
  }
}
