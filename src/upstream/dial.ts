import type { Socket, SocketHandler } from "bun"
import type { Address } from "./address.ts"

export type UpstreamSocket = Socket<SocketUser>

/** What a socket tells its user. */
export interface SocketUser {
  /** Connected; with TLS the handshake is still to come. */
  opened(socket: UpstreamSocket): void
  /** The TLS handshake is over, one way or the other. `succeeded`: and the certificate fits the name. */
  shook(succeeded: boolean, error: Error | null): void
  received(bytes: Buffer): void
  /** The socket takes bytes again. */
  drained(): void
  /** The other side sends no more, in order (FIN). `closed` follows. */
  endReceived(): void
  closed(error: Error | undefined): void
  /** No connection, or none that may be used. */
  notConnected(cause: string): void
  /** One of these methods threw. */
  faulted(error: Error): void
}

const HANDLERS: SocketHandler<SocketUser> = {
  binaryType: "buffer",
  open: (socket) => socket.data.opened(socket),
  handshake: (socket, succeeded, error) => socket.data.shook(succeeded, error),
  data: (socket, bytes) => socket.data.received(bytes),
  drain: (socket) => socket.data.drained(),
  end: (socket) => socket.data.endReceived(),
  close: (socket, error) => socket.data.closed(error),
  error: (socket, error) => socket.data.faulted(error),
}

/** Starts to connect. `tls`: `undefined` for plain TCP and Unix sockets. */
export function dial(address: Address, tls: Bun.TLSOptions | undefined, user: SocketUser): void {
  // One of TCP or Unix options; their union fits no overload.
  const options = { ...address.target, tls, data: user, socket: HANDLERS }
  try {
    Bun.connect(options as Bun.TCPSocketConnectOptions<SocketUser>).catch((error: unknown) =>
      user.notConnected(describe(error)),
    )
  } catch (error) {
    // Options that are refused at once, such as a CA that is no PEM. Told later, as every other failure is.
    queueMicrotask(() => user.notConnected(describe(error)))
  }
}

/** An error of the runtime as one line for the log. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return "code" in error ? `${error.code}: ${error.message}` : error.message
}
