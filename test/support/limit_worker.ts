import { Decision, LimitTable } from "../../src/store/limit_table.ts"

/** What a thread is to do with a table; times of its takes are steps of a clock all threads move together. */
export interface LimitJob {
  readonly memory: SharedArrayBuffer
  /** Word 0: threads that are ready; word 1: set to 1 when all may begin; word 2: the clock, in ms. */
  readonly words: SharedArrayBuffer
  /** Low halves of the keys' hashes; their high half is 7. */
  readonly keys: readonly number[]
  readonly rounds: number
  readonly emissionMs: number
  readonly burst: number
  /** The clock moves by 1 ms each so many takes of a thread; 0: it stands still at 1000. */
  readonly takesPerMs: number
}

/** Takes admitted, by key. */
export function runLimitJob(job: LimitJob): number[] {
  const { emissionMs, burst, takesPerMs } = job
  const words = new Int32Array(job.words)
  const table = new LimitTable(job.memory)
  const decision = new Decision()
  const bucket = { emissionMs, toleranceMs: burst * emissionMs, overflow: 1 }
  const admitted = job.keys.map(() => 0)
  Atomics.add(words, 0, 1)
  while (Atomics.load(words, 1) === 0) Atomics.wait(words, 1, 0, 5)
  let takes = 0
  for (let round = 0; round < job.rounds; round++) {
    for (let i = 0; i < job.keys.length; i++) {
      if (takesPerMs > 0 && ++takes % takesPerMs === 0) Atomics.add(words, 2, 1)
      table.take(7, job.keys[i]!, bucket, 1, Atomics.load(words, 2), decision)
      if (decision.allowed) admitted[i]!++
    }
  }
  return admitted
}

if (!Bun.isMainThread) {
  self.addEventListener("message", ({ data }: MessageEvent<LimitJob>) => {
    self.postMessage(runLimitJob(data))
  })
}
