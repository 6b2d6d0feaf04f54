import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { which } from "./contenders/contender.ts"
import { nginxHead } from "./contenders/nginx.ts"
import { freePort, type Running, start } from "./process.ts"

/** What /json answers. */
export const SMALL_JSON = '{"message":"Hello, World!","id":12345,"ok":true}'

/** The upstream of every comparison: nginx with a small JSON (`/json`), a 16 KB (`/16k`) and a 1 MB body (`/1m`). */
export async function openUpstream(core: string): Promise<{ port: number; process: Running }> {
  const port = freePort()
  const root = mkdtempSync(join(tmpdir(), "gatehouse-bench-"))
  // Workers of nginx are nobody, and bodies must be theirs to read.
  chmodSync(root, 0o755)
  writeFileSync(join(root, "16k"), "x".repeat(16_384))
  writeFileSync(join(root, "1m"), "x".repeat(1_048_576))
  const config = join(root, "nginx.conf")
  writeFileSync(
    config,
    `${nginxHead(root)}
  sendfile on; tcp_nopush on; open_file_cache max=16;
  server { listen 127.0.0.1:${port} backlog=8192; default_type application/octet-stream; root ${root};
    location /json { default_type application/json; return 200 '${SMALL_JSON}'; } } }`,
  )
  const { pids, stop } = await start([which("nginx"), "-c", config], port, core)
  return {
    port,
    process: {
      pids,
      async stop() {
        await stop()
        rmSync(root, { recursive: true })
      },
    },
  }
}
