import type { AnyElysia } from "elysia"
import { accountRoutes } from "../admin/auth/account_routes.ts"
import { createIdentityApp, toAnswer } from "../admin/auth/app.ts"
import { childrenRoutes } from "../admin/auth/children_routes.ts"
import { passwordRoutes } from "../admin/auth/password_routes.ts"
import { providerRoutes } from "../admin/auth/provider_routes.ts"
import { sessionRoutes } from "../admin/auth/session_routes.ts"
import { tokenRoutes } from "../admin/auth/token_routes.ts"
import { tokenStatusRoutes } from "../admin/auth/token_status_routes.ts"
import { ownUsageRoutes } from "../admin/auth/usage_routes.ts"
import { wellKnownRoutes } from "../admin/auth/well_known_routes.ts"
import type { Config } from "../config/schema.ts"
import type { Accounts } from "../identity/accounts.ts"
import type { IdentityContext, OwnTokens } from "../identity/context.ts"
import type { IdentityAnswer, IdentityRequest } from "../identity/messages.ts"
import { Providers } from "../identity/providers.ts"
import { now } from "../lib/clock.ts"
import type { Log } from "../observe/log.ts"
import { fail } from "../policies/failure.ts"
import { isLinkLocal } from "../upstream/link_local.ts"
import { lookUpName } from "../upstream/resolved_address.ts"

/** The endpoints of identity, in groups: Elysia applications with paths below a prefix. */
export function identityGroups(accounts: Accounts): readonly AnyElysia[] {
  const { context, throttle } = accounts
  return [
    sessionRoutes(context),
    tokenRoutes(accounts),
    tokenStatusRoutes(context, throttle),
    passwordRoutes(accounts),
    accountRoutes(context),
    childrenRoutes(accounts),
    providerRoutes(context, createProviders(context)),
  ]
}

function createProviders(context: IdentityContext): Providers {
  return new Providers(context, {
    fetch: (url, init) => fetch(url, init),
    lookUp: lookUpName,
    isRefused: isLinkLocal,
    now,
    log: context.log,
  })
}

/** The endpoints of identity in the control plane. */
export interface IdentityApp {
  readonly answer: (asked: IdentityRequest) => Promise<IdentityAnswer>
  /** For those who cannot be waited for. */
  readonly busy: IdentityAnswer
}

export interface IdentityAppParts {
  readonly own: OwnTokens
  /** `undefined`: there is no store, so only what can be said without. */
  readonly accounts: Accounts | undefined
  readonly config: () => Config
  /** More endpoints below the prefixes. */
  readonly groups: readonly AnyElysia[]
  readonly log: Log
}

const BUSY = toAnswer(
  fail("OVERLOADED", { retryAfterS: 1, message: "Too many ask at the moment; try again." }),
)

export function createApp({ own, accounts, config, groups, log }: IdentityAppParts): IdentityApp {
  const all = [wellKnownRoutes(own, accounts !== undefined), ...groups]
  if (accounts !== undefined) all.push(...identityGroups(accounts), ownUsageRoutes(accounts.context, config))
  return { answer: createIdentityApp(all, { settings: own.settings, log }), busy: BUSY }
}
