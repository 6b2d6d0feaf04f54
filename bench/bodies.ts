import type { AskedFor } from "./request.ts"
import {
  GATEHOUSES,
  JAVASCRIPT,
  JSON_REQUEST,
  OURS,
  PLAIN,
  PRODUCTS,
  type Scenario,
  sideBySide,
} from "./side_by_side.ts"

const KB = 1024
const file = (path: string, bytes: number): AskedFor => ({
  path,
  bodyBytes: undefined,
  expect: (body) => body.length === bytes,
})
const COMMON = {
  contenders: [...GATEHOUSES, ...PRODUCTS, ...JAVASCRIPT],
  job: PLAIN,
  base: "nginx",
  connections: [64],
  notes: [],
} satisfies Partial<Scenario>

/** An answer of 16 KB. */
export const body16k = (): Promise<boolean> =>
  sideBySide({
    ...COMMON,
    name: "body_16k",
    title: "an answer of 16 KB",
    asked: file("/16k", 16 * KB),
    targets: [{ of: OURS, to: "nginx", must: 1.4, goal: 1.2 }],
  })

/** An answer of 1 MB. */
export const body1m = (): Promise<boolean> =>
  sideBySide({
    ...COMMON,
    name: "body_1m",
    title: "an answer of 1 MB",
    asked: file("/1m", KB * KB),
    megabytes: 1,
    targets: [],
  })

/** A request with a body of 16 KB. */
export const post16k = (): Promise<boolean> =>
  sideBySide({
    ...COMMON,
    name: "post_16k",
    title: "a request of 16 KB",
    asked: { ...JSON_REQUEST, bodyBytes: 16 * KB },
    targets: [],
  })

if (import.meta.main) process.exit([await body16k(), await body1m(), await post16k()].every(Boolean) ? 0 : 1)
