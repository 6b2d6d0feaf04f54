import type { TCPSocketListener } from "bun"
import { handleReads, Inbox } from "../http1/round.ts"
import type { ConnectionCounts } from "../observe/connection_counts.ts"
import { Connections } from "./connections.ts"
import { HandOver, INNER_HOST } from "./hand_over.ts"
import { Handshakes } from "./handshakes.ts"
import { Lane } from "./lane/lane.ts"
import type { Listener, Origin } from "./origin.ts"
import type { RawSocket, SocketEvents } from "./raw_socket.ts"
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

export interface FrontDoorOptions extends ServeDoorOptions {
  /** Milliseconds of the wall clock. */
  readonly wallClock: () => number
  /** Longest TLS handshake in milliseconds; 10 s unless told. */
  readonly handshakeMs?: number
  readonly counts: ConnectionCounts
}

const HANDSHAKE_MS = 10_000

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
 * A port whose bytes are read here. HTTP/1.1 goes the lane; a connection that asks for more (WebSocket, another
 * version), or every one with `server.lane: false`, goes on to a Serve door on loopback (hand_over.ts). TLS ends
 * here: `Bun.serve` can ask clients for certificates, but does not show what it got. Throws when the port cannot be
 * opened or the certificates cannot be used.
 */
export function openFrontDoor(options: FrontDoorOptions): Door {
  const { gateway, server: config, clock, wallClock, log, counts } = options
  const { guard } = gateway
  const scheme = options.tls === undefined ? "http" : "https"
  const handOver = new HandOver(clock, () => counts.handedOver())
  const inner = openServeDoor({
    ...options,
    tls: undefined,
    hostname: INNER_HOST,
    port: 0,
    origins: handOver,
  })
  handOver.innerPort = inner.port
  const lane = config.lane ? new Lane({ ...options, handOver }) : undefined
  const connections = new Connections({
    max: config.max_connections,
    maxPerAddress: config.max_connections_per_ip,
    exempts: (address) => guard.exempts(address),
  })
  const handshakes = new Handshakes({
    required: options.tls?.ca !== undefined && config.tls?.client_cert !== "optional",
    limitMs: options.handshakeMs ?? HANDSHAKE_MS,
    clock,
    wallClock,
  })

  /** Gives a connection to who reads it; false: there is no room. */
  function take(socket: RawSocket, origin: Origin): boolean {
    const taken = lane === undefined ? handOver.take(socket, origin) : lane.take(socket, origin)
    if (taken !== undefined) socket.data = taken
    return taken !== undefined
  }

  function opened(socket: RawSocket, listener: Listener): void {
    socket.data = NOBODY
    const address = plainAddress(socket.remoteAddress)
    // Before the handshake, which is what such a client would cost most by. Without one it is told why.
    const blocked = scheme === "https" && guard.blocking && guard.refuses(address) > 0
    const entry = blocked ? "blocked" : connections.enter(socket, address)
    if (entry !== "entered") {
      counts.refused(entry)
      socket.terminate()
      return
    }
    counts.opened()
    if (scheme === "https") handshakes.begin(socket)
    else if (!take(socket, { address, scheme, certificate: undefined, listener })) socket.terminate()
  }

  function shook(socket: RawSocket, listener: Listener, succeeded: boolean, error: Error | null): void {
    let shaken = handshakes.end(socket, succeeded, error)
    if (shaken === undefined) return
    const address = plainAddress(socket.remoteAddress)
    if (shaken.kind === "in") {
      if (take(socket, { address, scheme, certificate: shaken.certificate, listener })) return
      shaken = handshakes.refuse(socket, "too many clients")
    }
    if (shaken.kind === "out") log.debug("tls.client_refused", { peer: address, reason: shaken.reason })
  }

  function faulted(socket: RawSocket, error: Error): void {
    log.error("door.fault", { error })
    socket.terminate()
  }
  const inbox = new Inbox("requests", faulted)

  function listen(port: number, pair: TlsPair | undefined): Listening {
    const listener: Listener = { retired: false }
    // The types do not know reusePort.
    const listening: Bun.TCPSocketListenOptions<SocketEvents> & { readonly reusePort: boolean } = {
      hostname: options.hostname,
      port,
      reusePort: true,
      allowHalfOpen: true,
      ...(pair !== undefined && { tls: tlsOptions(pair, config.tls) }),
      data: NOBODY,
      socket: {
        binaryType: "buffer",
        open: (socket) => opened(socket, listener),
        handshake: (socket, succeeded, error) => shook(socket, listener, succeeded, error),
        data: (from, bytes) => inbox.put(from, bytes),
        drain: (to) => to.data.drained(),
        end(from) {
          inbox.settle(from)
          from.data.endReceived()
        },
        close(from, error) {
          inbox.settle(from)
          if (connections.leave(from)) counts.closed()
          handshakes.gone(from)
          from.data.closed(error)
        },
        error: faulted,
      },
    }
    return { socket: Bun.listen(listening), listener }
  }

  let current: Listening
  /** Replaced, and still accepting what the kernel has queued for them. */
  const retiring = new Set<Listening>()
  try {
    current = listen(options.port, options.tls)
  } catch (error) {
    handshakes.close()
    lane?.terminate()
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
    for (const { socket } of [current, ...retiring]) socket.stop()
    retiring.clear()
    void redirect?.stop(hard)
    handshakes.close()
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
      // A request that was read is answered: its connection is not idle.
      handleReads()
      await Promise.all([lane?.close(), inner.close().then(() => handOver.close())])
    },
    terminate() {
      stopListening(true)
      lane?.terminate()
      handOver.terminate()
      inner.terminate()
    },
  }
}

interface Listening {
  readonly socket: TCPSocketListener<SocketEvents>
  readonly listener: Listener
}

function tlsOptions({ cert, key, ca }: TlsPair, config: FrontDoorOptions["server"]["tls"]): Bun.TLSOptions {
  return {
    cert,
    key,
    ...(ca !== undefined && {
      ca,
      requestCert: true,
      rejectUnauthorized: config?.client_cert !== "optional",
    }),
    ALPNProtocols: ALPN,
    ...(config?.min_version === "1.3" && { secureOptions: NO_TLS_1_2 }),
  }
}
