import type { TlsConfig } from "../config/schema.ts"
import { type Watch, watchFiles } from "../config/watch.ts"
import type { Log } from "../observe/log.ts"
import type { PemPair } from "./protocol.ts"
import { readTlsPair, sameKind, tlsFiles } from "./tls_pair.ts"

export interface TlsKeeperOptions {
  /** Tells all workers of a new pair. */
  readonly tell: (pair: PemPair) => void
  readonly log: Log
}

/** The certificate clients are shown, which follows its files. Without one at start there is never one. */
export class TlsKeeper {
  readonly #options: TlsKeeperOptions
  #pair: PemPair | undefined
  #watch: Watch | undefined

  constructor(pair: PemPair | undefined, options: TlsKeeperOptions) {
    this.#pair = pair
    this.#options = options
  }

  get pair(): PemPair | undefined {
    return this.#pair
  }

  /** Takes what the files of a new configuration hold. Rejects with \`Error\` when that cannot be used. */
  async read(tls: TlsConfig | undefined): Promise<void> {
    if (tls !== undefined && this.#pair !== undefined) this.#take(sameKind(readTlsPair(tls), this.#pair))
  }

  /** Watches the files of the configuration in force, and no others; they change one after the other. */
  watch(tls: TlsConfig | undefined): void {
    this.#watch?.close()
    if (tls === undefined || this.#pair === undefined) return
    this.#watch = watchFiles(tlsFiles(tls), () => {
      this.read(tls).catch((error: Error) =>
        this.#options.log.error("tls.rejected", { reason: error.message }),
      )
    })
  }

  close(): void {
    this.#watch?.close()
  }

  #take(pair: PemPair): void {
    const old = this.#pair
    if (pair.cert === old?.cert && pair.key === old.key && pair.ca === old.ca) return
    this.#pair = pair
    this.#options.tell(pair)
    this.#options.log.info("tls.replaced")
  }
}
