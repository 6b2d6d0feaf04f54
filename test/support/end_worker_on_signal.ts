/** Preloaded into a gateway under test: each SIGUSR2 ends the worker thread that has lived longest, as a crash does. */
import { isMainThread } from "node:worker_threads"

if (isMainThread) {
  const Original = Worker
  const workers: Worker[] = []
  globalThis.Worker = class extends Original {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options)
      workers.push(this)
    }
  }
  process.on("SIGUSR2", () => workers.shift()?.terminate())
}
