import { serveFloor } from "./contenders/serve_floor.ts"
import { GATEHOUSES, JAVASCRIPT, JSON_REQUEST, OURS, PLAIN, PRODUCTS, sideBySide } from "./side_by_side.ts"

/** Plain proxying of a small JSON by one worker, beside its peers. */
export const plain = (): Promise<boolean> =>
  sideBySide({
    name: "plain",
    title: "plain proxying of a small JSON",
    contenders: [...GATEHOUSES, ...PRODUCTS, ...JAVASCRIPT, serveFloor],
    job: PLAIN,
    asked: JSON_REQUEST,
    connections: [64, 256],
    base: "nginx",
    targets: [
      { of: OURS, to: "nginx", must: 1.1, goal: 0.95 },
      { of: OURS, to: "Caddy", must: 0.35 },
    ],
    notes: ["the floor is no product: it checks nothing and forwards no header"],
  })

if (import.meta.main) process.exit((await plain()) ? 0 : 1)
