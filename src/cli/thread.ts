import type { FromWorker } from "../gateway/protocol.ts"
import type { StartThread, ThreadEvents } from "../gateway/supervisor.ts"

/**
 * Where the worker's code is. In a compiled binary `import.meta.url` may be the path of the machine that
 * compiled it (with --bytecode it is); `Bun.main` is always inside the binary.
 */
function workerUrl(): URL {
  if (Bun.main.startsWith("/$bunfs/")) return new URL("./cli/worker.ts", Bun.pathToFileURL(Bun.main))
  return new URL("./worker.ts", import.meta.url)
}

interface Thread {
  readonly worker: Bun.Worker
  /** Who is told what happens; until there is somebody, only an end is remembered. */
  events: ThreadEvents | undefined
  /** Why it is over; `undefined`: it is not. */
  lost: string | undefined
}

let early: Thread | undefined

/**
 * Starts the first thread before it is known what for: it loads its code while this one reads the configuration. It
 * keeps nothing alive until it is taken.
 */
export function startEarly(): void {
  early = open(0)
  early.worker.unref()
}

/** Starts a data-plane thread of this process. */
export const startThread: StartThread = (index, events) => {
  const thread = (index === 0 ? takeEarly() : undefined) ?? open(index)
  const { worker } = thread
  thread.events = events
  if (thread.lost !== undefined) queueMicrotask(() => thread.events?.lost(thread.lost!))
  return {
    post: (message) => worker.postMessage(message),
    terminate() {
      thread.events = undefined
      worker.terminate()
    },
  }
}

function takeEarly(): Thread | undefined {
  const thread = early
  early = undefined
  thread?.worker.ref()
  return thread
}

function open(index: number): Thread {
  const worker = new Worker(workerUrl(), { name: `worker-${index}` })
  // Typed as browsers have it, which know no `unref`.
  const thread: Thread = { worker: worker as unknown as Bun.Worker, events: undefined, lost: undefined }
  let reason = ""
  const over = (why: string): void => {
    if (thread.lost !== undefined) return
    thread.lost = why
    thread.events?.lost(why)
  }
  worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => {
    if (thread.events !== undefined) thread.events.message(data)
    else if (data.kind === "failed") over(data.reason)
  })
  worker.addEventListener("error", (event) => {
    reason = event.message
    event.preventDefault()
  })
  // An uncaught error ends a thread too, sometimes with exit code 0; "close" follows in every case.
  worker.addEventListener("close", (event) => {
    over(reason === "" ? `exit code ${(event as unknown as { code: number }).code}` : reason)
  })
  return thread
}
