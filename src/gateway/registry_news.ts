/** What happened in the registry since a reader last asked. */
export interface RegistryQuestion {
  readonly kind: "registry"
  /** Where the reader has come to; `undefined`: it begins. */
  readonly since: string | undefined
  /** Services it may know of; "*" among them: all. */
  readonly services: readonly string[]
}

export interface RegistryNews {
  readonly kind: "registry"
  /** Where the reader has come to now. */
  readonly place: string
  /** Events for it as server-sent events; "": nothing happened for a while. */
  readonly text: string
}
