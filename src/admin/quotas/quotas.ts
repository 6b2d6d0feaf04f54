import type { Config } from "../../config/schema.ts"
import type { IdentityContext } from "../../identity/context.ts"

/** What the endpoints for quotas and usage work with. */
export interface Quotas {
  readonly context: Pick<IdentityContext, "store" | "wallClock" | "audit">
  /** The config in force. */
  readonly config: () => Config
}
