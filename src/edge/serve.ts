import type { Server } from "bun"
import type { ServerConfig } from "../config/schema.ts"
import type { Gateway } from "../gateway/gateway.ts"
import type { Route } from "../gateway/route.ts"
import { NO_FIELDS } from "../http1/field_list.ts"
import { handling } from "../http1/round.ts"
import type { Clock } from "../lib/clock.ts"
import type { Log } from "../observe/log.ts"
import type { SocketHandler, TopicServer } from "../realtime/socket.ts"
import { websocketHandlers } from "../realtime/socket.ts"
import type { AcceptedSocket, Answer, Exchange } from "../upstream/exchange.ts"
import { blockedAnswer } from "./blocked.ts"
import type { Origin, Origins } from "./origin.ts"
import { openRedirect } from "./redirect.ts"
import { type Departures, toResponse } from "./respond.ts"
import { plainAddress, ServeArrival, type Way } from "./serve_arrival.ts"
import { UNREAD_BYTES, type Upload, type UploadLimits } from "./upload.ts"

export interface TlsPair {
  /** PEM texts. */
  readonly cert: string
  readonly key: string
  /** Authorities of client certificates; absent: clients are not asked for one. */
  readonly ca?: string
}

export interface ServeDoorOptions {
  readonly gateway: Gateway
  readonly server: ServerConfig
  readonly tls: TlsPair | undefined
  readonly hostname: string
  /** 0: any free port. */
  readonly port: number
  readonly clock: Clock
  readonly log: Log
  /** Listeners whose WebSockets can be reached by topics, kept by the door. */
  readonly servers?: Set<TopicServer>
  /** Makes this an inner door: only connections handed over by another door are answered. */
  readonly origins?: Origins
}

/** An open port. */
export interface Door {
  readonly port: number
  /** Takes a new certificate: new connections get it, those that are open go on. Throws on a pair that cannot work. */
  replaceTls(pair: TlsPair): void
  /** Stops accepting, closes idle connections, and resolves when the last answer has been sent. */
  close(): Promise<void>
  /** Cuts what is still open. */
  terminate(): void
}

/** OpenSSL's SSL_OP_NO_TLSv1_2; 1.0 and 1.1 are off in the runtime. */
export const NO_TLS_1_2 = 0x08000000

const SWITCHED: Answer = Object.freeze({ status: 101, fields: NO_FIELDS, body: undefined })

/** Clients that send or read too slowly are looked for this often. */
const SWEEP_MS = 1000

/** How long a listener that is replaced still accepts what the kernel has queued for it. */
export const ACCEPT_MS = 100

/** The runtime counts idle time in steps of 4 s. */
const IDLE_STEP_MS = 4000

/**
 * The Serve door: HTTP/1.1, HTTP/2 and WebSocket on `Bun.serve`. Several may listen on one port (reusePort).
 * Throws when the port cannot be opened.
 */
export function openServeDoor(options: ServeDoorOptions): Door {
  const { gateway, server: config, clock, origins } = options
  const { guard } = gateway
  const direct: Way = { secure: options.tls !== undefined, http2: config.http2, origin: undefined }
  const idleTimeout = Math.min(255, Math.max(8, Math.round(config.keep_alive_timeout / 1000)))
  const uploads = new Map<Upload, Exchange>()
  const limits: UploadLimits = { silenceMs: config.body_timeout, minBytesPerSecond: config.min_body_rate }

  const departures: Departures = { clock, streams: new Set() }

  const sweep = setInterval(() => {
    for (const [upload, exchange] of uploads) {
      if (!upload.running || !upload.tooSlow(limits)) continue
      exchange.uploadFault = "REQUEST_TIMEOUT"
      upload.giveUp("the request body came too slowly")
    }
    const now = clock()
    for (const sink of departures.streams)
      if (limits.silenceMs > 0 && sink.blockedMs(now) > limits.silenceMs) sink.giveUp()
  }, SWEEP_MS)
  sweep.unref()

  const finish = (exchange: Exchange): void => gateway.finish(exchange)

  async function answer(request: Request, server: Server<SocketHandler>): Promise<Response | undefined> {
    const address = server.requestIP(request)
    const origin = origins?.originOf(address)
    if (origin === undefined && origins !== undefined) return stranger()
    const way = origin === undefined ? direct : { secure: origin.scheme === "https", http2: false, origin }
    const peer = origin?.address ?? plainAddress(address?.address ?? "")
    if (guard.blocking) {
      const seconds = guard.refuses(peer)
      if (seconds > 0) return blocked(seconds, way.secure)
    }
    await handling()
    const arrival = new ServeArrival(request, peer, way, clock)
    const exchange = gateway.begin(arrival)
    arrival.exchange = exchange
    const { upload } = arrival
    if (upload !== undefined) {
      // Who sends a body takes part for longer: its leaving breaks the body off and must be told apart from that.
      arrival.watch()
      uploads.set(upload, exchange)
    }
    const handled = gateway.handle(exchange)
    // The runtime would cut an honest slow upload (the sweep bounds it instead) and a service that thinks for long.
    const patient = upload !== undefined || mayOutlast(exchange.route as Route | undefined)
    if (patient) server.timeout(request, 0)
    await handled
    if (patient) server.timeout(request, idleTimeout)
    const { socket } = exchange
    if (socket !== undefined) {
      if (upgrade(exchange, socket, request, server)) {
        arrival.unwatch()
        exchange.answer = SWITCHED
        finish(exchange)
        return undefined
      }
      socket.refused()
      if (!exchange.gone) gateway.fail(exchange)
    }
    return respond(exchange, request, server, upload, origin)
  }

  /** Whether the service may be silent for longer than the runtime waits; it may be asked twice (fallback). */
  function mayOutlast(route: Route | undefined): boolean {
    return route !== undefined && route.timeoutMs * 2 + IDLE_STEP_MS > idleTimeout * 1000
  }

  /** False when the runtime does not take it: the client has left, or a header cannot be written. */
  function upgrade(
    exchange: Exchange,
    socket: AcceptedSocket,
    request: Request,
    server: Server<SocketHandler>,
  ): boolean {
    const headers: [string, string][] = [["sec-websocket-protocol", socket.protocol]]
    const { added } = exchange.responseEdits
    for (let i = 0; i < added.length; i += 2) headers.push([added[i]!, added[i + 1]!])
    try {
      return server.upgrade(request, { data: socket.handler as SocketHandler, headers })
    } catch (error) {
      options.log.error("upgrade.fault", { request_id: exchange.id, error })
      return false
    }
  }

  function respond(
    exchange: Exchange,
    request: Request,
    server: Server<SocketHandler>,
    upload: Upload | undefined,
    origin: Origin | undefined,
  ): Response {
    if (exchange.gone || exchange.answer === undefined) return nobody(exchange, upload)
    const { body } = exchange.answer
    const streams = body !== undefined && !(body instanceof Uint8Array)
    // A stream may be silent for long (server-sent events); the upstream's own idle timeout bounds it.
    if (streams) server.timeout(request, 0)
    const ended = streams || upload !== undefined ? endOf(request, server, streams, upload) : finish
    const closing =
      gateway.draining ||
      // This listener's certificate has a successor; it closes shortly.
      server !== current ||
      origin?.listener.retired === true ||
      // After a malformed request nobody knows where the next one starts.
      exchange.arrival.fault !== "" ||
      exchange.uploadFault !== "" ||
      (upload !== undefined && upload.left > UNREAD_BYTES)
    try {
      return toResponse(exchange, closing, departures, ended)
    } catch (error) {
      // A header the runtime refuses, e.g. one with a line break: nothing of it goes out.
      options.log.error("response.fault", { request_id: exchange.id, error })
      if (streams) body.cancel()
      gateway.fail(exchange)
      return toResponse(exchange, closing, departures, ended)
    }
  }

  /** What is to be done at the end of an exchange whose body streams, either way. */
  function endOf(
    request: Request,
    server: Server<SocketHandler>,
    streams: boolean,
    upload: Upload | undefined,
  ): (done: Exchange) => void {
    return (done) => {
      if (streams) server.timeout(request, idleTimeout)
      if (upload !== undefined) giveUpRest(upload)
      finish(done)
    }
  }

  /** The answer does not need the rest: a service that waits for it must not hold its connection any longer. */
  function giveUpRest(upload: Upload): void {
    uploads.delete(upload)
    upload.giveUp("answered before the request was complete")
  }

  /** The client has left: the runtime wants a Response all the same. */
  function nobody(exchange: Exchange, upload: Upload | undefined): Response {
    const body = exchange.answer?.body
    if (body !== undefined && !(body instanceof Uint8Array)) body.cancel()
    if (upload !== undefined) giveUpRest(upload)
    finish(exchange)
    return new Response(null, { status: 500 })
  }

  function serve(port: number, pair: TlsPair | undefined): Server<SocketHandler> {
    const server = Bun.serve({
      hostname: options.hostname,
      port,
      reusePort: origins === undefined,
      development: false,
      idleTimeout,
      // Bodies are bounded per route, where the limit is known.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      ...(pair && {
        tls: {
          cert: pair.cert,
          key: pair.key,
          ...(config.tls?.min_version === "1.3" && { secureOptions: NO_TLS_1_2 }),
        },
        http2: config.http2,
      }),
      fetch: answer,
      websocket: websocketHandlers({
        log: options.log,
        maxPayloadBytes: config.websocket.max_message,
        compression: config.websocket.compression,
      }),
      error(error) {
        options.log.error("door.fault", { error })
        return new Response(null, { status: 500 })
      },
    } as Parameters<typeof Bun.serve<SocketHandler>>[0])
    options.servers?.add(server)
    return server
  }

  function forget(server: Server<SocketHandler>): void {
    retired.delete(server)
    options.servers?.delete(server)
  }

  let current = serve(options.port, options.tls)
  /** Listeners with an older certificate whose connections are not all over yet. */
  const retired = new Set<Server<SocketHandler>>()
  const port = current.port!
  const redirect =
    config.redirect_port === undefined || origins !== undefined
      ? undefined
      : openRedirect(options.hostname, config.redirect_port, port)

  return {
    port,
    replaceTls(pair) {
      // The runtime cannot swap a certificate: a second listener takes the new connections.
      const old = current
      current = serve(port, pair)
      retired.add(old)
      // Connections that wait to be accepted by the old one would be reset with it.
      setTimeout(() => void old.stop().then(() => forget(old)), ACCEPT_MS)
    },
    async close() {
      void redirect?.stop()
      await Promise.all([current, ...retired].map((each) => each.stop()))
      clearInterval(sweep)
    },
    terminate() {
      clearInterval(sweep)
      void redirect?.stop(true)
      for (const each of [current, ...retired]) void each.stop(true)
    },
  }
}

/**
 * The answer to a peer that is blocked. The runtime shows no connections, so it cannot be cut off before it has asked.
 * A plain connection is closed with all that was pipelined on it; over TLS the next handshake would cost more than
 * refusals do.
 */
function blocked(seconds: number, secure: boolean): Response {
  const { status, headers, body } = blockedAnswer(seconds)
  if (!secure) headers.push(["connection", "close"])
  return new Response(body, { status, headers })
}

/** The answer to another process of this machine that has found the inner door. */
function stranger(): Response {
  return new Response(null, { status: 403, headers: { connection: "close" } })
}
