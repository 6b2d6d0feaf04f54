const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const

export interface Signals {
  /** Resolves with the name of the first signal to end. A second one ends the process at once. */
  readonly end: Promise<string>
  /** Sets what a reload is. One that was asked for before runs at once. */
  onReload(run: () => void): void
  /** Asks for a reload, as SIGHUP does. */
  readonly reload: () => void
  /** Gives the signals back to their defaults. */
  close(): void
}

/** Takes SIGINT, SIGTERM and SIGHUP of this process. */
export function watchSignals(): Signals {
  const { promise, resolve } = Promise.withResolvers<string>()
  let ending = false
  let asked = false
  let run: (() => void) | undefined
  const onEnd = (signal: NodeJS.Signals): void => {
    if (ending) process.exit(EXIT_CODES[signal as keyof typeof EXIT_CODES])
    ending = true
    resolve(signal)
  }
  const reload = (): void => {
    asked = true
    run?.()
  }
  process.on("SIGINT", onEnd).on("SIGTERM", onEnd).on("SIGHUP", reload)
  return {
    end: promise,
    onReload(reloadNow) {
      run = reloadNow
      if (asked) reloadNow()
    },
    reload,
    close() {
      process.off("SIGINT", onEnd).off("SIGTERM", onEnd).off("SIGHUP", reload)
    },
  }
}
