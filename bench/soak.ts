import { openGateway } from "./gateway.ts"
import { getRequest, OpenLoad, type Rate } from "./open_load.ts"
import { pinThisProcess } from "./pin.ts"
import { CONTENDER_CORE, LOAD_CORE, rssMb } from "./process.ts"
import { grows, slopeOf } from "./slope.ts"
import { openUpstream } from "./upstream.ts"

const HOUR_S = 3600
const MAX_GROWTH = 0.1
const WARM_UP_SHARE = 1 / 3
/** A shorter run is all warm-up. */
const SHORTEST_S = 300
const ABORTED_PER_SECOND = 20

const RATES: readonly Rate[] = [
  { kind: "small GET", ...getRequest("/json"), perSecond: 300 },
  { kind: "GET of 16 KB", ...getRequest("/16k"), perSecond: 50 },
  {
    kind: "POST of 16 KB",
    method: "POST",
    bytes: Buffer.from(
      `POST /json HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 16384\r\n\r\n${"x".repeat(16_384)}`,
    ),
    perSecond: 50,
  },
  { kind: "new connection", ...getRequest("/json", "127.0.0.1", "Connection: close\r\n"), perSecond: 50 },
]

/** Mixed load at a moderate rate for `BENCH_SOAK_S` (600): resident memory each second, and whether it grows. */
export async function soak(): Promise<boolean> {
  const seconds = Number(process.env.BENCH_SOAK_S ?? 600)
  const unpin = pinThisProcess(LOAD_CORE)
  const upstream = await openUpstream(LOAD_CORE)
  const gateway = await openGateway(
    {
      server: { workers: 1 },
      services: { up: { instances: [`http://127.0.0.1:${upstream.port}`] } },
      defaults: { request_id: {}, access_log: {}, rate_limit: { by: "ip", rate: "100000/s" } },
      routes: [{ path: "/*", service: "up" }],
    },
    CONTENDER_CORE,
  )
  const counts = new Map(RATES.map(({ kind }) => [kind, { good: 0, failed: 0 }]))
  const load = new OpenLoad({
    target: { hostname: "127.0.0.1", port: gateway.port },
    onSample: ({ kind, status }) => void counts.get(kind)![status === 200 ? "good" : "failed"]++,
  })
  const places: number[] = []
  const rss: number[] = []
  const startedAt = performance.now()
  const watch = setInterval(() => {
    places.push((performance.now() - startedAt) / 1000)
    rss.push(rssMb([gateway.pid]))
  }, 1000)
  const aborted = { early: 0, late: 0 }
  const abort = setInterval(() => abortOne(gateway.port, aborted), 1000 / ABORTED_PER_SECOND)
  try {
    await load.run(seconds * 1000, RATES)
    await load.settle()
  } finally {
    clearInterval(watch)
    clearInterval(abort)
    load.close()
    await gateway.stop()
    await upstream.process.stop()
    unpin()
  }
  console.log(`\nsoak of ${seconds} s`)
  for (const [kind, { good, failed }] of counts)
    console.log(`${kind.padEnd(16)}${good} good, ${failed} failed`)
  console.log(
    `aborted         ${aborted.early} in the middle of the request, ${aborted.late} in the middle of the answer`,
  )
  const failed = [...counts.values()].reduce((sum, each) => sum + each.failed, 0)
  console.log(`${failed === 0 ? "PASS" : "FAIL"}: ${failed} requests failed`)
  return judge(places, rss, seconds >= SHORTEST_S) && failed === 0
}

/** By turns a client that leaves in the middle of its request, and one that leaves in the middle of a large answer. */
function abortOne(port: number, aborted: { early: number; late: number }): void {
  const early = aborted.early <= aborted.late
  aborted[early ? "early" : "late"]++
  const request = early
    ? "POST /json HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\nonly the beginning"
    : "GET /1m HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
  Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(socket) {
        socket.write(request)
        if (early) setTimeout(() => socket.terminate(), 20)
      },
      data: (socket) => socket.terminate(),
    },
  }).catch((error: Error) => console.error(`an aborting client: ${error.message}`))
}

function judge(places: readonly number[], rss: readonly number[], longEnough: boolean): boolean {
  const from = Math.floor(rss.length * WARM_UP_SHARE)
  const slope = slopeOf(places.slice(from), rss.slice(from))
  const [first = 0, last = 0] = [rss[from], rss.at(-1)]
  const of = (mb: number): string => `${mb.toFixed(1)} MB (${((mb / slope.mean) * 100).toFixed(1)} %)`
  const growing = grows(slope, HOUR_S, MAX_GROWTH)
  const verdict = !longEnough ? `not judged, under ${SHORTEST_S} s` : growing ? "FAIL" : "PASS"
  console.log(
    `RSS ${rss[0]?.toFixed(0)} MB at the start, ${first.toFixed(0)} MB after a third, ${last.toFixed(0)} MB at the end, at most ${Math.max(...rss).toFixed(0)} MB`,
  )
  console.log(
    `${verdict}: slope ${of(slope.perUnit * HOUR_S)} an hour, standard error ${of(slope.error * HOUR_S)}; fails when the slope less two standard errors is over ${MAX_GROWTH * 100} %`,
  )
  return !(growing && longEnough)
}

if (import.meta.main) process.exit((await soak()) ? 0 : 1)
