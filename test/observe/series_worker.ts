import { Series, seriesKey } from "../../src/observe/series.ts"

declare const self: Worker

/** Counts to the number it is told in the table it is given, then says so. */
self.onmessage = (event: MessageEvent<{ buffer: SharedArrayBuffer; times: number }>) => {
  const series = new Series(event.data.buffer)
  for (let i = 0; i < event.data.times; i++) series.add(seriesKey(1, 2, 3), 1)
  self.postMessage("counted")
}
