import type { InstanceView } from "../../src/upstream/describe.ts"

/** A healthy instance as it is told of, but for `changes`. */
export const instanceView = (url: string, changes: Partial<InstanceView> = {}): InstanceView => ({
  url,
  source: "config",
  zone: "",
  tags: [],
  healthy: true,
  draining: false,
  ejectedForMs: 0,
  inFlight: 0,
  responseTimeMs: 0,
  consecutiveFailures: 0,
  ...changes,
})
