import type { ServerWebSocket, WebSocketHandler } from "bun"
import type { Log } from "../observe/log.ts"

/** A client's end of a WebSocket, with whoever answers it as its data. */
export type ClientSocket = ServerWebSocket<SocketHandler>

/** What texts are sent to. */
export interface TextSocket {
  /** Bytes it took, -1 when they wait, 0 when it could not take them. `compress`: where the client has agreed to it. */
  send(text: string, compress: boolean): number
  /** Bytes that wait. */
  getBufferedAmount(): number
  subscribe(topic: string): void
  unsubscribe(topic: string): void
  ping(payload?: string): number
}

/** Whoever answers one client's WebSocket: a relay to a service, or the gateway itself. One object a connection. */
export interface SocketHandler {
  /** The handshake is complete; called once, before anything else. */
  open(client: ClientSocket): void
  /** One whole message: text as a string (valid UTF-8 on the wire), binary as bytes. Fragments are joined. */
  message(client: ClientSocket, data: string | Buffer<ArrayBuffer>): void
  /** Some of what `send` had to queue has left; `getBufferedAmount` tells what is still there. */
  drain(client: ClientSocket): void
  /** A ping that the runtime has answered already. */
  ping(client: ClientSocket, payload: Buffer): void
  pong(client: ClientSocket, payload: Buffer): void
  /**
   * The connection is over; called once, last. 1005: a close frame without code. 1006: no close frame came,
   * or the client broke the protocol or a limit; then `reason` is the runtime's own text.
   */
  close(client: ClientSocket, code: number, reason: string): void
}

/** A listener, as what is published on topics needs it. */
export interface TopicServer {
  /** Sends a text to all its sockets that have subscribed to the topic; compressed for those that have agreed to it. */
  publish(topic: string, text: string, compress: boolean): unknown
  /** Sockets that have subscribed to it. */
  subscriberCount(topic: string): number
}

export interface SocketOptions {
  /** Largest message a client may send, bytes, inflated ones too; a larger one closes the connection with 1009. */
  readonly maxPayloadBytes: number
  /** Whether offers of `permessage-deflate` are taken (RFC 7692). */
  readonly compression: boolean
  readonly log: Log
}

/**
 * Bytes queued for one client beyond which a further `send` is refused (it returns 0). A message that meets a
 * shorter queue is always taken whole.
 */
const MAX_QUEUED_BYTES = 16 * 1024 * 1024
/** A client without a frame for this long counts as gone. It is pinged shortly before, so only a dead or stuck one is. */
const GONE_AFTER_S = 120
const INTERNAL_ERROR = 1011
/**
 * No window is kept from one message to the next, so one compressor and one inflater serve all sockets of a thread.
 * Windows of their own would cost each socket 230 KB and more.
 */
const SHARED_WINDOW = { compress: "shared", decompress: "shared" } as const
/** A smaller message gains less than a packet. */
const COMPRESS_FROM_BYTES = 1024
/** About 16 ms of the thread for JSON, 60 ms for noise, in which it does nothing else. */
const COMPRESS_AT_ONCE_BYTES = 2 * 1024 * 1024

/**
 * Whether to compress a message of so many bytes for so many sockets, those that have agreed to it: each has it compressed
 * anew. Beyond 2 MB altogether it goes as it is.
 */
export function worthCompressing(bytes: number, sockets = 1): boolean {
  return bytes >= COMPRESS_FROM_BYTES && bytes * sockets <= COMPRESS_AT_ONCE_BYTES
}

/** Sends a text to all who have subscribed to the topic. */
export function publishOn(server: TopicServer, topic: string, text: string): void {
  const { length } = text
  // The runtime compresses what it is not told to leave as it is.
  server.publish(
    topic,
    text,
    worthCompressing(length) && worthCompressing(length, server.subscriberCount(topic)),
  )
}

/** What the Serve door gives to `Bun.serve({ websocket })`: each event goes to the socket's own handler. */
export function websocketHandlers(options: SocketOptions): WebSocketHandler<SocketHandler> {
  const { log } = options
  return {
    maxPayloadLength: options.maxPayloadBytes,
    backpressureLimit: MAX_QUEUED_BYTES,
    // Handlers see the refused send and say why with a close code; the runtime would only drop the line.
    closeOnBackpressureLimit: false,
    idleTimeout: GONE_AFTER_S,
    sendPings: true,
    perMessageDeflate: options.compression ? SHARED_WINDOW : false,
    open: (client) => client.data.open(client),
    message: (client, data) => client.data.message(client, data),
    drain: (client) => client.data.drain(client),
    ping: (client, payload) => client.data.ping(client, payload),
    pong: (client, payload) => client.data.pong(client, payload),
    close: (client, code, reason) => client.data.close(client, code, reason),
    error: (error, client) => {
      log.error("websocket.fault", { error })
      client.close(INTERNAL_ERROR, "internal error")
    },
  }
}
