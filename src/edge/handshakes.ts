import type { X509Certificate } from "node:crypto"
import {
  type ClientCertificate,
  isForClients,
  isWithinValidity,
  parseCertificate,
} from "../identity/certificate.ts"
import type { Clock } from "../lib/clock.ts"
import type { RawSocket } from "./raw_socket.ts"

export interface HandshakeOptions {
  /** Who connects must show a certificate; otherwise it may. */
  readonly required: boolean
  /** Longest handshake in milliseconds, and longest wait for a client that was refused to close its side. */
  readonly limitMs: number
  readonly clock: Clock
  /** Milliseconds of the wall clock, for the validity of certificates. */
  readonly wallClock: () => number
}

/** How a handshake has ended. */
export type Shaken =
  | { readonly kind: "in"; readonly certificate: ClientCertificate | undefined }
  /** It was closed, in order; `reason` is for the log. */
  | { readonly kind: "out"; readonly reason: string }

const SWEEP_MS = 500

/** TLS handshakes of one port: their time limit, and whether who comes with a certificate gets in. */
export class Handshakes {
  readonly #options: HandshakeOptions
  /** Those under way and clients refused, oldest first, and when each is cut off. */
  readonly #waiting = new Map<RawSocket, number>()
  readonly #sweep: ReturnType<typeof setInterval>

  constructor(options: HandshakeOptions) {
    this.#options = options
    this.#sweep = setInterval(() => {
      const now = options.clock()
      for (const [socket, until] of this.#waiting) {
        if (now < until) break
        socket.terminate()
      }
    }, SWEEP_MS)
    this.#sweep.unref()
  }

  begin(socket: RawSocket): void {
    this.#waiting.set(socket, this.#options.clock() + this.#options.limitMs)
  }

  /** The runtime's verdict on a handshake; `undefined`: it had been given up before. */
  end(socket: RawSocket, succeeded: boolean, error: Error | null): Shaken | undefined {
    if (!this.#waiting.delete(socket)) return undefined
    const x509 = socket.getPeerX509Certificate()
    const reason = succeeded ? this.#judge(socket, x509, error) : (error?.message ?? "no handshake")
    if (reason !== "") return this.refuse(socket, reason)
    const certificate = x509 === undefined ? undefined : parseCertificate(x509)
    if (certificate !== undefined && !isWithinValidity(certificate, this.#options.wallClock()))
      return this.refuse(socket, "the certificate is not valid now")
    return { kind: "in", certificate }
  }

  /** Closes in order, for the alert to arrive; a client that does not close its side is cut off by the sweep. */
  refuse(socket: RawSocket, reason: string): Shaken {
    this.begin(socket)
    socket.end()
    return { kind: "out", reason }
  }

  /** The socket is closed. */
  gone(socket: RawSocket): void {
    this.#waiting.delete(socket)
  }

  /** Cuts those under way: nothing was asked on them yet, their clients try again elsewhere. */
  close(): void {
    clearInterval(this.#sweep)
    for (const socket of [...this.#waiting.keys()]) socket.terminate()
  }

  /** Why the client must not come in; "" when it may. */
  #judge(socket: RawSocket, x509: X509Certificate | undefined, error: Error | null): string {
    if (x509 === undefined) return this.#options.required ? "no certificate" : ""
    // With verification left to us, the handshake succeeds whatever the chain is worth.
    if (!socket.authorized || error) return error?.message ?? "the certificate cannot be verified"
    return isForClients(x509) ? "" : "the certificate is not for clients"
  }
}
