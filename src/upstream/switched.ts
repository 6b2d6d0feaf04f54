import type { SocketUser, UpstreamSocket } from "./dial.ts"

/**
 * A connection whose service has switched protocols (101): it left its pool and waits for somebody to take it. It is
 * not read meanwhile.
 */
export class SwitchedSocket implements SocketUser {
  readonly socket: UpstreamSocket
  #came: Buffer | undefined
  #closed = false

  /** `bytes`: the head was found in them, and ended at `headEnd`. */
  constructor(socket: UpstreamSocket, bytes: Buffer, headEnd: number) {
    this.socket = socket
    this.#came = headEnd < bytes.length ? bytes.subarray(headEnd) : undefined
    socket.data = this
    socket.pause()
  }

  /**
   * From now on the user is told what the socket tells, and it is read. Returns what came before, which the user is
   * not told, and whether the connection is over already.
   */
  give(user: SocketUser): { readonly came: Buffer | undefined; readonly closed: boolean } {
    this.socket.data = user
    this.socket.resume()
    const came = this.#came
    this.#came = undefined
    return { came, closed: this.#closed }
  }

  /** Nobody will take it. */
  terminate(): void {
    this.socket.terminate()
  }

  /** What was read before the pause took effect. */
  received(bytes: Buffer): void {
    this.#came = this.#came === undefined ? bytes : Buffer.concat([this.#came, bytes])
  }

  closed(): void {
    this.#closed = true
  }

  faulted(): void {
    this.socket.terminate()
  }

  // Nothing is to be done about these.
  opened(): void {}
  shook(): void {}
  drained(): void {}
  endReceived(): void {}
  lost(): void {}
}
