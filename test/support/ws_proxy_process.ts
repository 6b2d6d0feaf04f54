import { startFrameProxy } from "./frame_proxy.ts"
import { startWsProxy } from "./ws_proxy.ts"

// A process of its own, so that its memory is the relay's alone: `bun ws_proxy_process.ts <upstream> <messages or frames>`.
// Prints its port, then on each line of input one JSON line of counts.
const start = process.argv[3] === "frames" ? startFrameProxy : startWsProxy
const proxy = start({ upstream: process.argv[2]!, maxPayloadBytes: 64 * 1024 * 1024 })
console.log(proxy.port)
for await (const _ of console) console.log(JSON.stringify({ ...proxy.counted, problems: proxy.problems }))
process.exit(0)
