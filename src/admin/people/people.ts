import type { Config } from "../../config/schema.ts"
import type { IdentityContext } from "../../identity/context.ts"

/** What the endpoints for people, keys and services work with. */
export interface People {
  readonly context: IdentityContext
  /** The config in force. */
  readonly config: () => Config
}
