/** `./build.sh bench [scenario…]`: runs the named scenarios, or all. Exit code 1 when one misses its target. */
import { body1m, body16k, post16k } from "./bodies.ts"
import { cores } from "./cores.ts"
import { failover } from "./failover.ts"
import { flapping } from "./flapping.ts"
import { flood } from "./flood.ts"
import { full, fullRs256 } from "./full.ts"
import { identity } from "./identity.ts"
import { idle } from "./idle.ts"
import { idleWebSockets } from "./idle_websockets.ts"
import { instances } from "./instances.ts"
import { latency } from "./latency.ts"
import { limits } from "./limits.ts"
import { limitsShared } from "./limits_shared.ts"
import { overload } from "./overload.ts"
import { plain } from "./plain.ts"
import { policies } from "./policies.ts"
import { quota } from "./quota.ts"
import { realtime } from "./realtime.ts"
import { reloads } from "./reloads.ts"
import { routes } from "./routes.ts"
import { soak } from "./soak.ts"
import { sse } from "./sse.ts"
import { start } from "./start.ts"
import { streaming } from "./streaming.ts"
import { h2, tls } from "./tls.ts"
import { wsRelay } from "./ws_relay.ts"

const SCENARIOS: Readonly<Record<string, () => Promise<boolean>>> = {
  plain,
  full,
  full_rs256: fullRs256,
  body_16k: body16k,
  body_1m: body1m,
  post_16k: post16k,
  tls,
  h2,
  cores,
  latency,
  start,
  policies,
  routes,
  failover,
  flapping,
  instances,
  reloads,
  streaming,
  sse,
  idle,
  idle_websockets: idleWebSockets,
  ws_relay: wsRelay,
  realtime,
  limits,
  limits_shared: limitsShared,
  overload,
  quota,
  flood,
  identity,
  soak,
  // Loaded when asked for: its OpenID provider has something to say about the runtime.
  provider: () => import("./provider.ts").then(({ provider }) => provider()),
}

const asked = process.argv.slice(2)
const unknown = asked.filter((name) => SCENARIOS[name] === undefined)
if (unknown.length > 0) {
  console.error(`unknown scenario ${unknown.join(", ")}; there are: ${Object.keys(SCENARIOS).join(", ")}`)
  process.exit(1)
}
let held = true
for (const name of asked.length > 0 ? asked : Object.keys(SCENARIOS))
  held = (await SCENARIOS[name]!()) && held
process.exit(held ? 0 : 1)
