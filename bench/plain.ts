import { byteFloor, serveFloor } from "./contenders/floors.ts"
import { GATEHOUSES, JAVASCRIPT, JSON_REQUEST, OURS, PLAIN, PRODUCTS, sideBySide } from "./side_by_side.ts"

/** Plain proxying of a small JSON by one worker, beside its peers. */
export const plain = (): Promise<boolean> =>
  sideBySide({
    name: "plain",
    title: "plain proxying of a small JSON",
    contenders: [...GATEHOUSES, ...PRODUCTS, ...JAVASCRIPT, serveFloor, byteFloor],
    job: PLAIN,
    asked: JSON_REQUEST,
    connections: [64, 256],
    base: "nginx",
    targets: [
      { of: OURS, to: "nginx", must: 1.1, goal: 0.95 },
      { of: OURS, to: "Caddy", must: 0.35 },
    ],
    notes: [
      "the floors are no products: they check nothing; they tell what the runtime and the kernel take before any work is done",
    ],
  })

if (import.meta.main) process.exit((await plain()) ? 0 : 1)
