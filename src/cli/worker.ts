// First, before the rest is evaluated.
import "./jit.ts"
import type { FromWorker, ToWorker } from "../gateway/protocol.ts"
import { agreeOn } from "../lib/clock.ts"
import { DataPlane } from "./data_plane.ts"
import { watchFaults } from "./faults.ts"
import { compileAsUsual } from "./jit.ts"

// The second entry point of the binary: the code of a data-plane thread.

const post = (message: FromWorker): void => self.postMessage(message)

const fail = (error: unknown): void =>
  post({ kind: "failed", reason: error instanceof Error ? error.message : String(error) })

let plane: DataPlane | undefined

watchFaults((kind, error) => {
  if (plane === undefined) fail(error)
  else plane.fault(kind, error)
})

self.addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  // A worker that cannot do what the control plane says is out of step with the others: it is replaced.
  try {
    if (data.kind === "init") {
      agreeOn(data.clock)
      plane = new DataPlane(data, post)
      compileAsUsual()
    } else plane?.receive(data)
  } catch (error) {
    fail(error)
  }
})
