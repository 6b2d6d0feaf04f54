import type { X509Certificate } from "node:crypto"
import type { TCPSocketListener } from "bun"
import { isForClients, isWithinValidity, parseCertificate } from "../identity/certificate.ts"
import { HandOver, INNER_HOST } from "./hand_over.ts"
import type { RawSocket, SocketEvents } from "./one_way.ts"
import type { Listener } from "./origin.ts"
import { openRedirect } from "./redirect.ts"
import {
  ACCEPT_MS,
  type Door,
  NO_TLS_1_2,
  openServeDoor,
  type ServeDoorOptions,
  type TlsPair,
} from "./serve.ts"
import { plainAddress } from "./serve_arrival.ts"

export interface CertificateDoorOptions extends ServeDoorOptions {
  readonly tls: TlsPair
  /** Milliseconds of the wall clock, for the validity of certificates. */
  readonly wallClock: () => number
  /** Longest TLS handshake in milliseconds; 10 s unless told. */
  readonly handshakeMs?: number
}

const HANDSHAKE_MS = 10_000
const SWEEP_MS = 500

/** One protocol, preceded by its length (RFC 7301 section 3.1). */
const ALPN = Buffer.from("\x08http/1.1")

/** Takes the events of a socket before its handshake is over and after it was refused. */
const NOBODY: SocketEvents = {
  received: () => undefined,
  drained: () => undefined,
  endReceived: () => undefined,
  closed: () => undefined,
}

/**
 * A TLS port that asks clients for a certificate. `Bun.serve` can ask too, but does not show what it got: so
 * TLS ends here, and the connection goes on to a Serve door on loopback (hand_over.ts). HTTP/1.1 and
 * WebSocket only. Throws when the port cannot be opened or the certificates cannot be used.
 */
export function openCertificateDoor(options: CertificateDoorOptions): Door {
  const { server: config, clock, wallClock, log } = options
  const { guard } = options.gateway
  const required = config.tls?.client_cert !== "optional"
  const handOver = new HandOver(clock)
  /** Handshakes under way and clients refused, oldest first, and when each is cut off. */
  const shaking = new Map<RawSocket, number>()
  const handshakeMs = options.handshakeMs ?? HANDSHAKE_MS
  const sweep = setInterval(() => {
    const now = clock()
    for (const [socket, until] of shaking) {
      if (now < until) break
      socket.terminate()
    }
  }, SWEEP_MS)
  sweep.unref()

  function shook(socket: RawSocket, listener: Listener, succeeded: boolean, error: Error | null): void {
    if (!shaking.delete(socket)) return
    const address = plainAddress(socket.remoteAddress ?? "")
    const x509 = socket.getPeerX509Certificate()
    const reason = succeeded ? judge(socket, x509, required, error) : (error?.message ?? "no handshake")
    const certificate = reason === "" && x509 !== undefined ? parseCertificate(x509) : undefined
    if (reason === "" && (certificate === undefined || isWithinValidity(certificate, wallClock()))) {
      const splice = handOver.take(socket, { address, scheme: "https", certificate, listener })
      if (splice !== undefined) {
        socket.data = splice
        return
      }
    }
    log.debug("tls.client_refused", { peer: address, reason: reason || "not valid now, or too many clients" })
    // In order, for the alert to arrive; a client that does not close its side is cut off by the sweep.
    shaking.set(socket, clock() + handshakeMs)
    socket.end()
  }

  function listen(port: number, pair: TlsPair): Listening {
    const listener: Listener = { retired: false }
    const tls: Bun.TLSOptions = {
      cert: pair.cert,
      key: pair.key,
      ca: pair.ca!,
      requestCert: true,
      rejectUnauthorized: required,
      ALPNProtocols: ALPN,
      ...(config.tls?.min_version === "1.3" && { secureOptions: NO_TLS_1_2 }),
    }
    // The types do not know reusePort.
    const listening: Bun.TCPSocketListenOptions<SocketEvents> & { readonly reusePort: boolean } = {
      hostname: options.hostname,
      port,
      reusePort: true,
      allowHalfOpen: true,
      tls,
      data: NOBODY,
      socket: {
        binaryType: "buffer",
        open(opened) {
          opened.data = NOBODY
          // Before the handshake, which is what such a client would cost most by.
          if (guard.blocking && guard.refuses(plainAddress(opened.remoteAddress)) > 0) {
            opened.terminate()
            return
          }
          shaking.set(opened, clock() + handshakeMs)
        },
        handshake: (shaken, succeeded, error) => shook(shaken, listener, succeeded, error),
        data: (from, bytes) => from.data.received(bytes),
        drain: (to) => to.data.drained(),
        end: (from) => from.data.endReceived(),
        close(from, error) {
          shaking.delete(from)
          from.data.closed(error)
        },
        error(from, error) {
          log.error("door.fault", { error })
          from.terminate()
        },
      },
    }
    return { socket: Bun.listen(listening), listener }
  }

  const inner = openServeDoor({
    ...options,
    tls: undefined,
    hostname: INNER_HOST,
    port: 0,
    origins: handOver,
  })
  handOver.innerPort = inner.port
  let current: Listening
  /** Replaced, and still accepting what the kernel has queued for them. */
  const retiring = new Set<Listening>()
  try {
    current = listen(options.port, options.tls)
  } catch (error) {
    clearInterval(sweep)
    inner.terminate()
    handOver.terminate()
    throw error
  }
  const port = current.socket.port
  const redirect =
    config.redirect_port === undefined
      ? undefined
      : openRedirect(options.hostname, config.redirect_port, port)

  function stopListening(hard: boolean): void {
    clearInterval(sweep)
    for (const { socket } of [current, ...retiring]) socket.stop()
    retiring.clear()
    void redirect?.stop(hard)
    // Nothing was asked on these yet: their clients try again elsewhere.
    for (const socket of [...shaking.keys()]) socket.terminate()
  }

  return {
    port,
    replaceTls(pair) {
      const old = current
      current = listen(port, pair)
      old.listener.retired = true
      retiring.add(old)
      // Connections that wait to be accepted by the old one would be reset with it.
      setTimeout(() => {
        if (retiring.delete(old)) old.socket.stop()
      }, ACCEPT_MS)
    },
    async close() {
      stopListening(false)
      await inner.close()
      await handOver.close()
    },
    terminate() {
      stopListening(true)
      handOver.terminate()
      inner.terminate()
    },
  }
}

interface Listening {
  readonly socket: TCPSocketListener<SocketEvents>
  readonly listener: Listener
}

/** Why the client must not come in; "" when it may. */
function judge(
  socket: RawSocket,
  x509: X509Certificate | undefined,
  required: boolean,
  error: Error | null,
): string {
  if (x509 === undefined) return required ? "no certificate" : ""
  // With verification left to us, the handshake succeeds whatever the chain is worth.
  if (!socket.authorized || error) return error?.message ?? "the certificate cannot be verified"
  return isForClients(x509) ? "" : "the certificate is not for clients"
}
