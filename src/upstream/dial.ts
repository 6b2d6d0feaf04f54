import type { Socket, SocketHandler } from "bun"
import { Inbox } from "../http1/round.ts"
import type { Address, NameResolver } from "./address.ts"

export type UpstreamSocket = Socket<SocketUser>

/** What a socket tells its user. */
export interface SocketUser {
  /** Connected; with TLS the handshake is still to come. */
  opened(socket: UpstreamSocket): void
  /** The TLS handshake is over; `problem`: why the connection must not be used. */
  shook(problem: string | undefined): void
  received(bytes: Buffer): void
  /** The socket takes bytes again. */
  drained(): void
  /** The other side sends no more, in order (FIN). `closed` follows. */
  endReceived(): void
  closed(error: Error | undefined): void
  /** There is no connection, or it is gone. */
  lost(cause: string): void
  /** One of these methods threw. */
  faulted(error: Error): void
}

const inbox = new Inbox<UpstreamSocket>("answers", (socket, error) => socket.data.faulted(error))

const HANDLERS: SocketHandler<SocketUser> = {
  binaryType: "buffer",
  open: (socket) => socket.data.opened(socket),
  // `succeeded` speaks of the handshake and the name, `authorized` of the chain: both are wanted.
  handshake: (socket, succeeded, error) =>
    socket.data.shook(succeeded && socket.authorized ? undefined : (error?.message ?? "not authorized")),
  data: (socket, bytes) => inbox.put(socket, bytes),
  drain: (socket) => socket.data.drained(),
  end(socket) {
    inbox.settle(socket)
    socket.data.endReceived()
  },
  close(socket, error) {
    inbox.settle(socket)
    socket.data.closed(error)
  },
  error: (socket, error) => socket.data.faulted(error),
}

/** With verification off, `succeeded` may be false on a connection that is fine: only a broken handshake counts. */
const UNVERIFIED: SocketHandler<SocketUser> = {
  ...HANDLERS,
  handshake: (socket, _succeeded, error) =>
    socket.data.shook(error && "code" in error && error.code === "EPROTO" ? error.message : undefined),
}

/** Starts to connect. `tls`: `undefined` for plain TCP and Unix sockets. */
export function dial({ target, resolver }: Address, tls: Bun.TLSOptions | undefined, user: SocketUser): void {
  if (resolver === undefined || "unix" in target)
    connect(target, tls, user).catch((error: unknown) => user.lost(describe(error)))
  else void dialName(resolver, target.port, tls, user)
}

/** Tries one address after the other. The time all of it may take is the user's to keep. */
async function dialName(
  resolver: NameResolver,
  port: number,
  tls: Bun.TLSOptions | undefined,
  user: SocketUser,
): Promise<void> {
  let cause = ""
  try {
    for (const hostname of await resolver.addresses()) {
      resolver.tried(hostname)
      try {
        await connect({ hostname, port }, tls, user)
        resolver.answered(hostname)
        return
      } catch (error) {
        cause = describe(error)
      }
    }
  } catch (error) {
    cause = (error as Error).message
  }
  user.lost(cause)
}

/** Resolves when connected, with TLS before its handshake. Rejects only before that. */
async function connect(target: Address["target"], tls: Bun.TLSOptions | undefined, user: SocketUser) {
  // One of TCP or Unix options; their union fits no overload.
  const options = {
    ...target,
    tls,
    data: user,
    socket: tls?.rejectUnauthorized === false ? UNVERIFIED : HANDLERS,
  }
  // Also what is refused at once, such as a CA that is no PEM, is a rejection here.
  await Bun.connect(options as Bun.TCPSocketConnectOptions<SocketUser>)
}

/** An error of the runtime as one line for the log. */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return "code" in error ? `${error.code}: ${error.message}` : error.message
}
