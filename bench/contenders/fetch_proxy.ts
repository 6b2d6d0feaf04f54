import type { Contender } from "./contender.ts"
import { program } from "./program.ts"

/** What one writes in a minute: `Bun.serve` and `fetch`. */
export const fetchProxy: Contender = {
  name: "Bun fetch proxy",
  needs: process.execPath,
  kind: "javascript",
  version: () => Bun.version,
  configure: (job, site) => ({ command: [process.execPath, ...program("fetch_proxy.mjs", job, site)] }),
}
