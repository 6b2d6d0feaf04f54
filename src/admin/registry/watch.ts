import type { RegistryNews } from "../../gateway/registry_news.ts"
import type { BodySink, BodySource } from "../../http1/body.ts"

/** Asks what happened since; see RegistryFeed. `since` undefined: a snapshot. */
export type Poll = (since: string | undefined) => Promise<RegistryNews | undefined>

/** Watchers at a time, of each worker and of the admin port. */
export const MAX_WATCHERS = 32
/** After this a watcher is sent away and comes back with its place, as its credentials may have been revoked. */
export const LONGEST_WATCH_MS = 300_000

export const EVENT_STREAM_HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
}

/** `Last-Event-ID` as readers send it; `undefined`: none, or nothing a place could be. */
export function placeOf(header: string | null | undefined): string | undefined {
  return header && header.length <= 64 ? header : undefined
}

const encoder = new TextEncoder()
/** How soon a reader comes back, in ms. */
const HELLO = encoder.encode("retry: 1000\n\n")
const STILL_HERE = encoder.encode(": still here\n\n")

/** Events as they happen, from `since` on, until `goesOn` says no or there is no answer any more. */
export async function* watchEvents(
  poll: Poll,
  since: string | undefined,
  goesOn: () => boolean,
): AsyncGenerator<Uint8Array, void, void> {
  yield HELLO
  let place = since
  while (goesOn()) {
    const news = await poll(place)
    if (news === undefined) return
    place = news.place
    yield news.text === "" ? STILL_HERE : encoder.encode(news.text)
  }
}

/** The body of an answer whose bytes come from a generator. */
export class GeneratedBody implements BodySource {
  readonly length = undefined
  readonly #chunks: AsyncGenerator<Uint8Array, void, void>
  readonly #onEnd: () => void
  #resume: () => void = () => undefined
  #over = false

  /** `onEnd`: called once, when no more bytes will be asked for. */
  constructor(chunks: AsyncGenerator<Uint8Array, void, void>, onEnd: () => void) {
    this.#chunks = chunks
    this.#onEnd = onEnd
  }

  flow(sink: BodySink): void {
    void this.#run(sink)
  }

  resume(): void {
    this.#resume()
  }

  cancel(): void {
    this.#end()
    this.#resume()
  }

  async #run(sink: BodySink): Promise<void> {
    for await (const chunk of this.#chunks) {
      if (this.#over) return
      if (sink.write(chunk)) continue
      await new Promise<void>((resolve) => {
        this.#resume = resolve
      })
      if (this.#over) return
    }
    if (this.#over) return
    this.#end()
    sink.end()
  }

  #end(): void {
    if (this.#over) return
    this.#over = true
    this.#onEnd()
  }
}
