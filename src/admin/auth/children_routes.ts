import { Elysia } from "elysia"
import type { StaticDecode } from "typebox"
import type { Accounts } from "../../identity/accounts.ts"
import {
  type ChildChanges,
  type ChildOutcome,
  changeChild,
  createChild,
  deleteChild,
  findChild,
  isChildLogin,
} from "../../identity/children.ts"
import { compileGrants } from "../../identity/roles.ts"
import { findChildren, normaliseLogin, publicUser } from "../../identity/users.ts"
import { strictObject } from "../../lib/strict_object.ts"
import { Type } from "../../lib/type.ts"
import { type Failure, fail } from "../../policies/failure.ts"
import { askedOf, ok, RAW, refuse } from "./app.ts"
import {
  AgeLimit,
  BlockedContent,
  DisplayName,
  displayNameOf,
  LoginText,
  PasswordText,
} from "./body_types.ts"
import { toFailure } from "./declined.ts"
import { compileBody, unfit } from "./json_body.ts"
import { type OwnAccount, ownAccount } from "./own_account.ts"

const createBody = compileBody(
  strictObject({
    login: LoginText,
    password: PasswordText,
    display_name: DisplayName,
    age_limit: Type.Optional(AgeLimit),
    blocked_content: Type.Optional(BlockedContent),
  }),
)
const Changes = Type.Object(
  {
    password: Type.Optional(PasswordText),
    display_name: Type.Optional(DisplayName),
    age_limit: Type.Optional(AgeLimit),
    blocked_content: Type.Optional(BlockedContent),
  },
  { additionalProperties: false, minProperties: 1 },
)
const changeBody = compileBody(Changes)

const NO_LOGIN = unfit(
  "/login",
  "must be 3 to 64 letters or digits of one script, with . _ - between them; not an email address",
)
const NOT_FOUND = fail("NOT_FOUND", { message: "You have no such child." })

/** Parents and the accounts of their children; whoever else's child it is does not exist here. */
export function childrenRoutes(accounts: Accounts) {
  const { context } = accounts
  /** The caller, who must be a parent by the roles the account has now. */
  async function parentOf(request: Request): Promise<OwnAccount | Failure> {
    const own = await ownAccount(context, askedOf(request))
    if (own.kind === "failure") return own
    const { parent_role } = context.settings().family
    const { roles } = compileGrants(context.settings())(own.user.roles)
    return roles.includes(parent_role)
      ? own
      : fail("FORBIDDEN", { details: { missing: { roles: [parent_role] } } })
  }

  return new Elysia()
    .get(
      "/users/me/children",
      async ({ request }) => {
        const own = await parentOf(request)
        if (own.kind === "failure") return refuse(request, own)
        const children = await findChildren(context.store, own.user.id)
        return ok({ children: children.map(publicUser) })
      },
      RAW,
    )
    .post(
      "/users/me/children",
      async ({ request }) => {
        const own = await parentOf(request)
        if (own.kind === "failure") return refuse(request, own)
        const read = createBody(askedOf(request))
        if (read.kind === "failure") return refuse(request, read)
        const { login, password, age_limit, blocked_content = [] } = read.body
        if (!isChildLogin(normaliseLogin(login))) return refuse(request, NO_LOGIN)
        const displayName = displayNameOf(read.body.display_name)
        if (typeof displayName !== "string") return refuse(request, displayName)
        const wanted = {
          login,
          password,
          displayName,
          ageLimit: age_limit ?? undefined,
          blockedContent: blocked_content,
        }
        return toAnswer(request, await createChild(accounts, own.user, wanted, own.actor), 201)
      },
      RAW,
    )
    .get(
      "/users/me/children/:id",
      async ({ request, params }) => {
        const own = await parentOf(request)
        if (own.kind === "failure") return refuse(request, own)
        const child = await findChild(context.store, own.user.id, params.id)
        return child === undefined ? refuse(request, NOT_FOUND) : ok(publicUser(child))
      },
      RAW,
    )
    .patch(
      "/users/me/children/:id",
      async ({ request, params }) => {
        const own = await parentOf(request)
        if (own.kind === "failure") return refuse(request, own)
        const read = changeBody(askedOf(request))
        if (read.kind === "failure") return refuse(request, read)
        const changes = toChanges(read.body)
        if (changes.kind === "failure") return refuse(request, changes)
        return toAnswer(
          request,
          await changeChild(accounts, own.user, params.id, changes.changes, own.actor),
          200,
        )
      },
      RAW,
    )
    .delete(
      "/users/me/children/:id",
      async ({ request, params }) => {
        const own = await parentOf(request)
        if (own.kind === "failure") return refuse(request, own)
        if (!(await deleteChild(accounts, own.user, params.id, own.actor))) return refuse(request, NOT_FOUND)
        return new Response(null, { status: 204, headers: { "cache-control": "no-store" } })
      },
      RAW,
    )
}

function toChanges(
  body: StaticDecode<typeof Changes>,
): { readonly kind: "changes"; readonly changes: ChildChanges } | Failure {
  const displayName = body.display_name === undefined ? undefined : displayNameOf(body.display_name)
  if (typeof displayName === "object") return displayName
  return {
    kind: "changes",
    changes: {
      ...(body.password !== undefined && { password: body.password }),
      ...(displayName !== undefined && { displayName }),
      ...(body.age_limit !== undefined && { ageLimit: body.age_limit ?? undefined }),
      ...(body.blocked_content !== undefined && { blockedContent: body.blocked_content }),
    },
  }
}

function toAnswer(request: Request, outcome: ChildOutcome, status: number): Response {
  switch (outcome.kind) {
    case "child":
      return ok(publicUser(outcome.child), status)
    case "not_found":
      return refuse(request, NOT_FOUND)
    case "login_taken":
      return refuse(request, fail("CONFLICT", { message: "The login is taken; choose another one." }))
    case "too_many":
      return refuse(
        request,
        fail("CONFLICT", { message: `You have ${outcome.max} children, which is the limit.` }),
      )
    default:
      return refuse(request, toFailure(outcome))
  }
}
