import type { Socket } from "bun"

/** What the sockets of a splice tell, whichever end they are. */
export interface SocketEvents {
  received(bytes: Buffer): void
  /** The socket takes bytes again. */
  drained(): void
  /** The other side sends no more, in order. */
  endReceived(): void
  /** `error`: it was reset or broke. */
  closed(error: Error | undefined): void
}

export type RawSocket = Socket<SocketEvents>
