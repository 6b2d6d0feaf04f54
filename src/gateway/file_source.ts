import { readInstanceFile } from "../config/instance_file.ts"
import { type Watch, type WatchOptions, watchFiles } from "../config/watch.ts"
import type { Log } from "../observe/log.ts"
import type { DiscoverySource, FoundService } from "../upstream/discovery/source.ts"

export interface FileSourceParts {
  readonly service: string
  /** Absolute. */
  readonly path: string
  readonly log: Log
  /** What the file holds could not be taken. */
  readonly onFailed: () => void
  readonly watch?: WatchOptions
}

/** Instances of one service in a watched file. While the file is missing or wrong, what it held last stays. */
export class FileSource implements DiscoverySource {
  readonly name = "file"
  readonly #parts: FileSourceParts
  #watch: Watch | undefined
  #told: string | undefined
  #failing = false

  constructor(parts: FileSourceParts) {
    this.#parts = parts
  }

  start(changed: (services: readonly FoundService[]) => void): void {
    // The watch before the reading: a change in between is an event, not a gap.
    this.#watch = watchFiles([this.#parts.path], () => this.#read(changed), this.#parts.watch)
    this.#read(changed)
  }

  close(): void {
    this.#watch?.close()
  }

  #read(changed: (services: readonly FoundService[]) => void): void {
    const { service, path, log, onFailed } = this.#parts
    try {
      const instances = readInstanceFile(path, service)
      if (this.#failing) log.info("discovery.recovered", { source: this.name, service })
      this.#failing = false
      const told = JSON.stringify(instances)
      if (told === this.#told) return
      this.#told = told
      changed([{ name: service, instances, dependsOn: [], check: undefined }])
    } catch (error) {
      // Each time: every change of the file is somebody's doing.
      this.#failing = true
      onFailed()
      log.warn("discovery.failing", { source: this.name, service, reason: (error as Error).message })
    }
  }
}
