import { agreeOn, type ClockSample, now } from "../../src/lib/clock.ts"

// A thread that sets its clock by a sample and, each time it is asked, writes what the clock says.
declare const self: { onmessage: (event: MessageEvent) => void }

self.onmessage = ({
  data,
}: MessageEvent<{ sample: ClockSample; memory: SharedArrayBuffer; times: number }>) => {
  agreeOn(data.sample)
  const told = new Float64Array(data.memory, 0, 1)
  const turns = new Int32Array(data.memory, 8, 2)
  postMessage("ready")
  for (let turn = 1; turn <= data.times; turn++) {
    while (Atomics.load(turns, 0) < turn) Atomics.wait(turns, 0, turn - 1, 1)
    told[0] = now()
    Atomics.store(turns, 1, turn)
  }
}
