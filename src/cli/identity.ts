import { randomBytes } from "node:crypto"
import type { AnyElysia } from "elysia"
import { createIdentityApp } from "../admin/auth/app.ts"
import type { Config } from "../config/schema.ts"
import type { IdentityPort } from "../gateway/control_options.ts"
import type { CountEvent, IdentityContext } from "../identity/context.ts"
import type {
  AuthFailure,
  IdentityAnswer,
  IdentityRequest,
  IdentityState,
  Question,
  Reply,
} from "../identity/messages.ts"
import { loadOwnKeys, type OwnKeys } from "../identity/own_keys.ts"
import type { AuthSettings } from "../identity/settings.ts"
import type { Log } from "../observe/log.ts"
import { appendAudit } from "../safety/audit.ts"
import type { Store } from "../store/sql.ts"

/** The endpoints of identity, in groups: Elysia applications with paths below a prefix. */
export function identityGroups(_context: IdentityContext): readonly AnyElysia[] {
  return []
}

export interface IdentityDeps {
  /** `undefined`: config names no `store`; tokens are verified, and nothing else. */
  readonly store: Store | undefined
  readonly wallClock: () => number
  readonly count: CountEvent
  readonly log: Log
}

/** Identity in the control plane: what workers ask, and what they are told. */
export class ControlIdentity implements IdentityPort {
  readonly #deps: IdentityDeps
  /** `undefined` without a store. */
  readonly #app: ((asked: IdentityRequest) => Promise<IdentityAnswer>) | undefined
  #settings: AuthSettings | undefined
  #keys: OwnKeys | undefined
  #tell: (change: IdentityState) => void = () => {}

  /** Throws `Error` for keys that cannot be used. */
  constructor(config: Config, deps: IdentityDeps) {
    this.#deps = deps
    this.apply(config)
    if (deps.store === undefined) return
    const context = this.#createContext(deps.store)
    this.#app = createIdentityApp(identityGroups(context), { settings: context.settings, log: deps.log })
  }

  apply({ auth }: Config): void {
    // First, as it can fail.
    this.#keys = auth === undefined ? undefined : loadOwnKeys(auth)
    this.#settings = auth
  }

  state(): IdentityState {
    return { issuers: [], revocations: [] }
  }

  async answer(question: Question): Promise<Reply | undefined> {
    switch (question.kind) {
      case "request":
        return this.#settings === undefined ? undefined : this.#app?.(question.request)
      case "credential":
      case "keys":
        return undefined
    }
  }

  observe(_failures: readonly AuthFailure[]): void {}

  onChange(tell: (change: IdentityState) => void): void {
    this.#tell = tell
  }

  #createContext(store: Store): IdentityContext {
    const { wallClock, count, log } = this.#deps
    return {
      store,
      // Nothing asks while there is no section `auth`.
      settings: () => this.#settings!,
      keys: () => this.#keys!,
      wallClock,
      randomBytes: (length) => randomBytes(length),
      audit: (sql, record) => appendAudit(sql, record, wallClock()),
      revoke: async (_sql, revocations) => this.#tell({ issuers: [], revocations }),
      count,
      log,
    }
  }
}
