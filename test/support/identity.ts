import type { IdentityPort } from "../../src/gateway/control_options.ts"
import type { Identity } from "../../src/identity/authenticated.ts"

/** A gateway without a section `auth`: nobody proves anything. */
export const NOBODY: Identity = {
  settings: undefined,
  authenticate: () => ({ kind: "anonymous" }),
  tokenFor: () => "",
  failed: () => {},
}

/** The same for a control plane. */
export const NO_IDENTITY: IdentityPort = {
  apply: () => {},
  state: () => ({ issuers: [], revocations: [] }),
  answer: () => Promise.resolve(undefined),
  observe: () => {},
  record: () => Promise.resolve(),
  onChange: () => {},
}
