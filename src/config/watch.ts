import { type FSWatcher, readFileSync, realpathSync, statSync, watch } from "node:fs"
import { dirname, resolve } from "node:path"
import { MAX_BYTES } from "./tree.ts"

export interface WatchOptions {
  /** Quiet time after the last event before files are read; default 100 ms. Editors write in several steps. */
  readonly debounceMs?: number
  /** How often files are read even without an event (network file systems send none); default 5 s. */
  readonly pollMs?: number
}

export interface Watch {
  /** Stops watching; no call follows. */
  close(): void
}

/**
 * Calls `onChange` with the paths whose content differs from what was last seen. A file that is gone counts
 * as unchanged until it is back. It is directories that are watched: a watch on a file dies when the file is
 * replaced by a rename, and never sees Kubernetes swap the link above it. A slow poll catches what is left.
 */
export function watchFiles(
  paths: readonly string[],
  onChange: (changed: readonly string[]) => void,
  options: WatchOptions = {},
): Watch {
  const watcher = new Watcher(paths, onChange, options.debounceMs ?? 100)
  const poll = setInterval(() => watcher.look(), options.pollMs ?? 5000)
  poll.unref()
  watcher.begin()
  return {
    close() {
      clearInterval(poll)
      watcher.close()
    },
  }
}

/** Watches one config file; see `watchFiles`. Whoever is called loads it and keeps the old one if it is bad. */
export function watchConfig(path: string, options: WatchOptions & { readonly onChange: () => void }): Watch {
  return watchFiles([path], () => options.onChange(), options)
}

class Watcher {
  readonly #paths: readonly string[]
  readonly #onChange: (changed: readonly string[]) => void
  readonly #debounceMs: number
  /** Hash of each file as last reported; absent: never seen. */
  readonly #seen = new Map<string, string>()
  readonly #directories = new Map<string, FSWatcher>()
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(paths: readonly string[], onChange: (changed: readonly string[]) => void, debounceMs: number) {
    this.#paths = [...new Set(paths.map((path) => resolve(path)))]
    this.#onChange = onChange
    this.#debounceMs = debounceMs
  }

  /** Reads what there is to compare with. Watches follow with the first look, when there is more time than at a start. */
  begin(): void {
    this.#read()
    this.#lookSoon()
  }

  /** Reads the files and reports what changed. */
  look(): void {
    // Watches first, then content: a change in between is an event, not a gap.
    this.#watchDirectories()
    const changed = this.#read()
    if (changed.length > 0) this.#onChange(changed)
  }

  /** Remembers the files as they are now; those that are not as they were. */
  #read(): string[] {
    const changed: string[] = []
    for (const path of this.#paths) {
      const hash = hashFile(path)
      if (hash === undefined || hash === this.#seen.get(path)) continue
      changed.push(path)
      this.#seen.set(path, hash)
    }
    return changed
  }

  close(): void {
    clearTimeout(this.#timer)
    for (const watcher of this.#directories.values()) watcher.close()
    this.#directories.clear()
  }

  /** The directory of each file and, for a link, that of the file it leads to; both may change later. */
  #watchDirectories(): void {
    const wanted = new Set<string>()
    for (const path of this.#paths) {
      wanted.add(dirname(path))
      try {
        wanted.add(dirname(realpathSync(path)))
      } catch {
        // The file is gone for the moment; its own directory tells when it is back.
      }
    }
    for (const [directory, watcher] of this.#directories) {
      if (wanted.has(directory)) continue
      watcher.close()
      this.#directories.delete(directory)
    }
    for (const directory of wanted) if (!this.#directories.has(directory)) this.#watchDirectory(directory)
  }

  #watchDirectory(directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, () => this.#lookSoon())
      watcher.on("error", () => {
        // The directory is gone: the poll opens a new watch once it is back.
        watcher.close()
        this.#directories.delete(directory)
      })
      this.#directories.set(directory, watcher)
    } catch {
      // No such directory, or no watches left on this machine: the poll goes on without.
    }
  }

  #lookSoon(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.look(), this.#debounceMs)
  }
}

/** `undefined`: the file is not there, cannot be read or is larger than any config. */
function hashFile(path: string): string | undefined {
  try {
    const status = statSync(path)
    if (!status.isFile() || status.size > MAX_BYTES) return undefined
    return new Bun.CryptoHasher("sha256").update(readFileSync(path)).digest("hex")
  } catch {
    // Not there, or half replaced: the next event or poll looks again.
    return undefined
  }
}
