import type { BodySink, BodySource } from "../http1/body.ts"
import type { Clock } from "../lib/clock.ts"

/**
 * A streamed request body on its way to an instance. Passes everything on and notes how far it has come, for
 * that decides who is to blame for a silence and whether the request may be sent again.
 */
export class WatchedBody implements BodySource, BodySink {
  readonly length: number | undefined
  /**
   * `unread`: nothing was taken from the client. `waiting_for_client`, `waiting_for_upstream`: under way.
   * `broken`: the client stopped in the middle. `dropped`: the connection wanted no more of it.
   */
  state: "unread" | "waiting_for_client" | "waiting_for_upstream" | "complete" | "broken" | "dropped" =
    "unread"
  /** When it last moved; 0 before. */
  movedAt = 0
  /** What it watches. */
  readonly source: BodySource
  readonly #now: Clock
  #sink: BodySink | undefined
  #dropped = false

  constructor(source: BodySource, now: Clock) {
    this.source = source
    this.#now = now
    this.length = source.length
  }

  // Towards the client.

  flow(sink: BodySink): void {
    this.#sink = sink
    this.#moved("waiting_for_client")
    this.source.flow(this)
  }

  resume(): void {
    if (this.state === "waiting_for_upstream") this.#moved("waiting_for_client")
    this.source.resume()
  }

  cancel(): void {
    // A connection that failed before it read anything must not spoil the body for the next one.
    if (this.state === "unread") return
    this.#dropped = true
    this.source.cancel()
  }

  // Towards the instance.

  write(chunk: Uint8Array): boolean {
    const more = this.#sink!.write(chunk)
    this.#moved(more ? "waiting_for_client" : "waiting_for_upstream")
    return more
  }

  end(): void {
    this.#moved("complete")
    this.#sink!.end()
  }

  abort(reason: string): void {
    this.state = "broken"
    this.#sink!.abort(reason)
  }

  #moved(state: WatchedBody["state"]): void {
    // A connection may drop the body within a write: what it was waiting for then is what counts.
    if (this.#dropped) return
    this.state = state
    this.movedAt = this.#now()
  }
}
