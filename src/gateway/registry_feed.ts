import type { Registered } from "../upstream/discovery/registration.ts"
import type { Registry } from "../upstream/discovery/registry.ts"
import { changeText, eventText, snapshotText } from "../upstream/discovery/registry_view.ts"
import type { RegistryNews, RegistryQuestion } from "./registry_news.ts"
import type { After } from "./supervisor.ts"

/** Longest wait for something to happen. */
const WAIT_MS = 10_000
/** What happens in so short a time is told at once. */
const GATHER_MS = 20
/** Readers that wait at a time; beyond, there is no answer. */
const MAX_WAITING = 512

interface Reader {
  readonly question: RegistryQuestion & { readonly since: string }
  readonly answer: (news: RegistryNews | undefined) => void
  readonly cancel: () => void
}

/** Tells readers what happens in the registry, each when it asks and something has happened. */
export class RegistryFeed {
  readonly #registry: Registry
  readonly #after: After
  readonly #readers = new Set<Reader>()
  #gathering = false
  #closed = false

  constructor(registry: Registry, after: After) {
    this.#registry = registry
    this.#after = after
  }

  /** Never rejects; `undefined`: there are too many readers, or the gateway ends. */
  ask(question: RegistryQuestion): Promise<RegistryNews | undefined> {
    if (this.#closed) return Promise.resolve(undefined)
    const { since } = question
    if (since === undefined) return Promise.resolve(this.#begin(question, ""))
    const news = this.#newsFor({ ...question, since })
    if (news !== undefined) return Promise.resolve(news)
    if (this.#readers.size >= MAX_WAITING) return Promise.resolve(undefined)
    return this.#wait({ ...question, since })
  }

  /** Something has happened. */
  happened(): void {
    if (this.#gathering || this.#readers.size === 0) return
    this.#gathering = true
    this.#after(GATHER_MS, () => {
      this.#gathering = false
      for (const reader of [...this.#readers]) {
        const news = this.#newsFor(reader.question)
        if (news !== undefined) this.#end(reader, news)
      }
    })
  }

  /** Sends all readers away. */
  close(): void {
    this.#closed = true
    for (const reader of [...this.#readers]) this.#end(reader, undefined)
  }

  #wait(question: Reader["question"]): Promise<RegistryNews | undefined> {
    const { promise, resolve } = Promise.withResolvers<RegistryNews | undefined>()
    const quiet = (): void => this.#end(reader, { kind: "registry", place: question.since, text: "" })
    const reader: Reader = { question, answer: resolve, cancel: this.#after(WAIT_MS, quiet) }
    this.#readers.add(reader)
    return promise
  }

  #end(reader: Reader, news: RegistryNews | undefined): void {
    reader.cancel()
    this.#readers.delete(reader)
    reader.answer(news)
  }

  /** `undefined`: nothing has happened. Events of services the reader may not know of move its place, and say nothing. */
  #newsFor(question: Reader["question"]): RegistryNews | undefined {
    const { events } = this.#registry
    const found = events.since(question.since)
    if (found === undefined) {
      const reason = "What happened since is not known any more; a snapshot follows."
      return this.#begin(question, eventText("reset", events.place, { reason }))
    }
    if (found.length === 0) return undefined
    const seen = found.filter(({ instance }) => mayKnow(question, instance))
    const text = seen.map((event) => changeText(events.placeOf(event.revision), event)).join("")
    return { kind: "registry", place: events.place, text }
  }

  #begin(question: RegistryQuestion, before: string): RegistryNews {
    const { place } = this.#registry.events
    const seen = [...this.#registry.instances()].filter((instance) => mayKnow(question, instance))
    return { kind: "registry", place, text: before + snapshotText(place, seen) }
  }
}

const mayKnow = ({ services }: RegistryQuestion, { service }: Registered): boolean =>
  services.includes("*") || services.includes(service)
