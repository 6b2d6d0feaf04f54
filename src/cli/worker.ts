import type { FromWorker, ToWorker } from "../gateway/protocol.ts"
import { DataPlane } from "./data_plane.ts"

// The second entry point of the binary: the code of a data-plane thread.

const post = (message: FromWorker): void => self.postMessage(message)

let plane: DataPlane | undefined

self.addEventListener("message", ({ data }: MessageEvent<ToWorker>) => {
  if (data.kind === "init") {
    try {
      plane = new DataPlane(data, post)
    } catch (error) {
      post({ kind: "failed", reason: error instanceof Error ? error.message : String(error) })
    }
  } else {
    plane?.receive(data)
  }
})
