import { type AdminDeps, createAdmin } from "../../src/admin/app.ts"
import { memoryLog } from "./memory_log.ts"

export const ADMIN_TOKEN = "a-token-for-tests-only"
/** Address of who asks. */
export const OPERATOR = "127.0.0.9"

/** The admin API of a gateway without services, which takes `ADMIN_TOKEN`, but for `changes`. */
export const createTestAdmin = (changes: Pick<AdminDeps, "config"> & Partial<AdminDeps>) =>
  createAdmin({
    version: "1.2.3",
    wallClock: () => 0,
    ready: () => true,
    services: () => [],
    token: () => ADMIN_TOKEN,
    metrics: async () => ({ text: "", contentType: "text/plain" }),
    status: () => ({}),
    reload: async () => ({ result: "applied", generation: 1, restartNeeded: [] }),
    resetBreaker: () => false,
    returnInstances: () => undefined,
    record: async () => {},
    groups: [],
    log: memoryLog(),
    ...changes,
  })
