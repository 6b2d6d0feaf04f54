const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const

export interface Signals {
  /** Resolves with the name of the first signal to end. A second one ends the process at once. */
  readonly end: Promise<string>
  /** What SIGHUP does from now on; before, it does nothing. */
  onReload(run: () => void): void
  /** Gives the signals back to their defaults. */
  close(): void
}

/** Takes SIGINT, SIGTERM and SIGHUP of this process. */
export function watchSignals(): Signals {
  const { promise, resolve } = Promise.withResolvers<string>()
  let ending = false
  let reload: () => void = () => {}
  const onEnd = (signal: NodeJS.Signals): void => {
    if (ending) process.exit(EXIT_CODES[signal as keyof typeof EXIT_CODES])
    ending = true
    resolve(signal)
  }
  const onHangUp = (): void => reload()
  process.on("SIGINT", onEnd).on("SIGTERM", onEnd).on("SIGHUP", onHangUp)
  return {
    end: promise,
    onReload(run) {
      reload = run
    },
    close() {
      process.off("SIGINT", onEnd).off("SIGTERM", onEnd).off("SIGHUP", onHangUp)
    },
  }
}
