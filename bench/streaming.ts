import { download, startByteService, upload } from "../test/support/byte_source.ts"
import { cpuMs, watchRss } from "../test/support/proc.ts"
import { openGateway } from "./gateway.ts"
import { CONTENDER_CORE } from "./process.ts"

const SIZE = Math.round(Number(process.env.BENCH_GB ?? 2) * 1_073_741_824)
const TARGET_RSS_MB = 100
const RUNS = [
  { door: "lane", lane: true, way: "download" },
  { door: "lane", lane: true, way: "upload" },
  { door: "Serve door", lane: false, way: "download" },
  { door: "Serve door", lane: false, way: "upload" },
]

/** A large body each way between ends that stop reading now and then: memory must stay bounded. */
export async function streaming(): Promise<boolean> {
  console.log(`\n${SIZE / 1_073_741_824} GB each way`)
  let held = true
  const service = startByteService(SIZE / 5)
  for (const { door, lane, way } of RUNS) {
    const gateway = await openGateway(
      {
        server: { max_body: "100GB", lane },
        services: { app: { instances: [service.url] } },
        routes: [{ path: "/*", service: "app" }],
      },
      CONTENDER_CORE,
    )
    try {
      const rss = watchRss(gateway.pid)
      const [cpu, at] = [cpuMs(gateway.pid), performance.now()]
      if (way === "download") await download(gateway.port, SIZE, SIZE / 5)
      else await upload(gateway.port, SIZE)
      const seconds = (performance.now() - at) / 1000
      const peak = rss.stop()
      const gigabytes = SIZE / 1_073_741_824
      const ok = peak < TARGET_RSS_MB
      console.log(
        `${door.padEnd(11)} ${way.padEnd(9)} ${seconds.toFixed(1)} s, CPU ${((cpuMs(gateway.pid) - cpu) / gigabytes).toFixed(0)} ms a GB, RSS at most ${peak.toFixed(0)} MB: ${ok ? "PASS" : "FAIL"} (target < ${TARGET_RSS_MB} MB)`,
      )
      held &&= ok
    } finally {
      await gateway.stop()
    }
  }
  service.stop()
  return held
}

if (import.meta.main) process.exit((await streaming()) ? 0 : 1)
