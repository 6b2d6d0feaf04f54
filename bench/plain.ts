import { compare, printTable } from "./compare.ts"
import { gatehouse, PEERS } from "./contenders.ts"

/** Plain proxying of a small JSON by one worker, at 64 and 256 connections, beside its peers. */
export async function plain(): Promise<boolean> {
  const rounds = Number(process.env.BENCH_ROUNDS ?? 3)
  const seconds = Number(process.env.BENCH_SECONDS ?? 3)
  let held = true
  for (const connections of [64, 256]) {
    const rows = await compare([gatehouse("Gatehouse"), ...PEERS], {
      path: "/json",
      expectBody: (body) => body.includes("Hello, World!"),
      connections,
      rounds,
      seconds,
    })
    printTable(`plain proxying, ${connections} connections, one core each`, rows, "nginx")
    const [ours, nginx] = ["Gatehouse", "nginx"].map((name) => rows.find((row) => row.name === name))
    if (ours === undefined || nginx === undefined) continue
    const ratio = ours.cpuUs[1] / nginx.cpuUs[1]
    const ok = ratio <= TARGET
    console.log(`${ok ? "PASS" : "FAIL"}: ${ratio.toFixed(2)} × nginx's CPU a request (target ≤ ${TARGET})`)
    held &&= ok && ours.errors === 0
  }
  return held
}

const TARGET = 1.6

if (import.meta.main) process.exit((await plain()) ? 0 : 1)
