/** Events by name, each with one value. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, readonly ((value: never) => unknown)[]>()

  /** Returns what takes the listener back. */
  on<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => unknown): () => void {
    this.#listeners.set(name, [...(this.#listeners.get(name) ?? []), listener])
    return () => {
      const others = (this.#listeners.get(name) ?? []).filter((each) => each !== listener)
      this.#listeners.set(name, others)
    }
  }

  has(name: keyof Events): boolean {
    return (this.#listeners.get(name)?.length ?? 0) > 0
  }

  /** Calls the listeners in the order they came, and returns what they returned. Throws what the first one throws. */
  emit<Name extends keyof Events>(name: Name, value: Events[Name]): readonly unknown[] {
    const listeners = (this.#listeners.get(name) ?? []) as readonly ((value: Events[Name]) => unknown)[]
    return listeners.map((listener) => listener(value))
  }
}
