/**
 * Preloaded into a gateway under test: SIGUSR2 makes its main thread and each of its workers fault twice, once by
 * an exception in a callback, once by a rejection nobody handles.
 */
import { isMainThread } from "node:worker_threads"

const CHANNEL = "faults of a test"

function fault(where: string): void {
  void Promise.reject(new Error(`stray rejection in a ${where}`))
  setTimeout(() => {
    throw new Error(`stray exception in a ${where}`)
  })
}

if (isMainThread) {
  const Original = Worker
  globalThis.Worker = class extends Original {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, { ...options, preload: [import.meta.path] })
    }
  }
  process.on("SIGUSR2", () => {
    fault("main thread")
    // Closed again: an open one would keep the process from ending.
    const channel = new BroadcastChannel(CHANNEL)
    channel.postMessage("fault")
    channel.close()
  })
} else {
  new BroadcastChannel(CHANNEL).onmessage = () => fault("worker")
}
