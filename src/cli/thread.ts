import type { FromWorker } from "../gateway/protocol.ts"
import type { StartThread } from "../gateway/supervisor.ts"

/**
 * Where the worker's code is. In a compiled binary `import.meta.url` may be the path of the machine that
 * compiled it (with --bytecode it is); `Bun.main` is always inside the binary.
 */
function workerUrl(): URL {
  if (Bun.main.startsWith("/$bunfs/")) return new URL("./cli/worker.ts", Bun.pathToFileURL(Bun.main))
  return new URL("./worker.ts", import.meta.url)
}

/** Starts a data-plane thread of this process. */
export const startThread: StartThread = (index, events) => {
  const worker = new Worker(workerUrl(), { name: `worker-${index}` })
  let reason = ""
  let over = false
  worker.addEventListener("message", ({ data }) => events.message(data as FromWorker))
  worker.addEventListener("error", (event) => {
    reason = event.message
    event.preventDefault()
  })
  // An uncaught error ends a thread too, sometimes with exit code 0; "close" follows in every case.
  worker.addEventListener("close", (event) => {
    if (over) return
    over = true
    events.lost(reason === "" ? `exit code ${(event as unknown as { code: number }).code}` : reason)
  })
  return {
    post: (message) => worker.postMessage(message),
    terminate() {
      over = true
      worker.terminate()
    },
  }
}
