import { Elysia } from "elysia"
import type { Accounts } from "../../identity/accounts.ts"
import type { IdentityRequest } from "../../identity/messages.ts"
import { loginWithPassword } from "../../identity/password_login.ts"
import { changePassword, requestPasswordReset, resetPassword } from "../../identity/recovery.ts"
import { isEmail, register, verifyEmail } from "../../identity/registration.ts"
import type { AuthSettings } from "../../identity/settings.ts"
import { normaliseLogin } from "../../identity/users.ts"
import { strictObject } from "../../lib/strict_object.ts"
import { Type } from "../../lib/type.ts"
import { type Failure, fail } from "../../policies/failure.ts"
import { askedOf, ok, RAW, refuse } from "./app.ts"
import { askingOf, fieldOf } from "./asking.ts"
import { DisplayName, displayNameOf, LoginText, PasswordText, TokenText } from "./body_types.ts"
import { toFailure, WRONG_TOKEN } from "./declined.ts"
import { compileBody, unfit } from "./json_body.ts"
import { ownAccount } from "./own_account.ts"
import { isScopeList } from "./parameters.ts"
import { signedInAnswer } from "./signed_in.ts"

const registerBody = compileBody(
  strictObject({ email: LoginText, password: PasswordText, display_name: Type.Optional(DisplayName) }),
)
const loginBody = compileBody(
  strictObject({
    email: Type.Optional(LoginText),
    login: Type.Optional(LoginText),
    password: PasswordText,
    session: Type.Optional(Type.Enum(["cookie", "token"])),
    scope: Type.Optional(Type.String({ maxLength: 1024 })),
  }),
)
const forgotBody = compileBody(strictObject({ email: LoginText }))
const resetBody = compileBody(strictObject({ token: TokenText, password: PasswordText }))
const verifyBody = compileBody(strictObject({ token: TokenText, password: Type.Optional(PasswordText) }))
const changeBody = compileBody(strictObject({ old: PasswordText, new: PasswordText }))

const challenge = { "www-authenticate": "Bearer" }
const WRONG = fail("AUTH_ERROR", { message: "Login or password is wrong.", headers: challenge })
const CLOSED = fail("FORBIDDEN", {
  message: "Nobody can register here; an operator can open it with `auth.registration.enabled`.",
})
const NO_LOGIN = unfit("/login", "give either `email` or `login`")
const NO_SCOPE = unfit("/scope", "must be scopes with one space between them")
const NO_EMAIL = unfit("/email", "is not an email address accounts can have here")
const ACCEPTED = { status: "accepted" }

/** Sign-in and everything else that has to do with passwords. */
export function passwordRoutes(accounts: Accounts) {
  const { context } = accounts
  return new Elysia()
    .post(
      "/auth/register",
      async ({ request }) => {
        const asked = askedOf(request)
        if (!context.settings().registration.enabled) return refuse(request, CLOSED)
        const read = registerBody(asked)
        if (read.kind === "failure") return refuse(request, read)
        const { email, password, display_name } = read.body
        const login = normaliseLogin(email)
        if (!isEmail(login)) return refuse(request, NO_EMAIL)
        const displayName = displayNameOf(display_name ?? login.split("@", 1)[0]!)
        if (typeof displayName !== "string") return refuse(request, displayName)
        const done = await register(accounts, { email, password, displayName }, askingOf(asked))
        return done.kind === "accepted" ? ok(ACCEPTED, 202) : refuse(request, toFailure(done))
      },
      RAW,
    )
    .post(
      "/auth/login",
      async ({ request }) => {
        const asked = askedOf(request)
        const read = loginBody(asked)
        if (read.kind === "failure") return refuse(request, read)
        const { email, login = email, password, session: kind = "token", scope } = read.body
        if (login === undefined || (email !== undefined && login !== email)) return refuse(request, NO_LOGIN)
        if (!isScopeList(scope ?? "")) return refuse(request, NO_SCOPE)
        const settings = context.settings()
        const foreign = kind === "cookie" ? foreignOrigin(settings, asked) : undefined
        if (foreign !== undefined) return refuse(request, foreign)
        const done = await loginWithPassword(accounts, { login, password, kind, scope }, askingOf(asked))
        switch (done.kind) {
          case "signed_in":
            return signedInAnswer(settings, asked, done.signedIn)
          case "wrong":
            return refuse(request, WRONG)
          default:
            return refuse(request, toFailure(done))
        }
      },
      RAW,
    )
    .post(
      "/auth/password/forgot",
      async ({ request }) => {
        const asked = askedOf(request)
        const read = forgotBody(asked)
        if (read.kind === "failure") return refuse(request, read)
        const done = await requestPasswordReset(accounts, read.body.email, askingOf(asked))
        return done.kind === "accepted" ? ok(ACCEPTED, 202) : refuse(request, toFailure(done))
      },
      RAW,
    )
    .post(
      "/auth/password/reset",
      async ({ request }) => {
        const asked = askedOf(request)
        const read = resetBody(asked)
        if (read.kind === "failure") return refuse(request, read)
        const done = await resetPassword(accounts, read.body, askingOf(asked))
        if (done.kind === "changed") return ok({ status: "changed" })
        return refuse(request, done.kind === "wrong_token" ? WRONG_TOKEN : toFailure(done))
      },
      RAW,
    )
    .post(
      "/auth/email/verify",
      async ({ request }) => {
        const asked = askedOf(request)
        const read = verifyBody(asked)
        if (read.kind === "failure") return refuse(request, read)
        const done = await verifyEmail(accounts, read.body, askingOf(asked))
        if (done.kind === "verified") return ok({ status: "verified" })
        return refuse(request, done.kind === "wrong_token" ? WRONG_TOKEN : toFailure(done))
      },
      RAW,
    )
    .put(
      "/users/me/password",
      async ({ request }) => {
        const asked = askedOf(request)
        const own = await ownAccount(context, asked)
        if (own.kind === "failure") return refuse(request, own)
        const read = changeBody(asked)
        if (read.kind === "failure") return refuse(request, read)
        const { old, new: password } = read.body
        const by = { ...askingOf(asked), sessionId: own.principal.sessionId }
        const done = await changePassword(accounts, own.user, { old, password }, by)
        if (done.kind === "changed") return ok({ status: "changed" })
        if (done.kind === "wrong") return refuse(request, unfit("/old", "is wrong"))
        return refuse(request, toFailure(done, "/new"))
      },
      RAW,
    )
}

/**
 * Another site must not sign a browser in to an account of its choice (login CSRF). Browsers send Origin with every
 * POST; programs send none.
 */
function foreignOrigin({ session }: AuthSettings, asked: IdentityRequest): Failure | undefined {
  const origin = fieldOf(asked, "origin")
  if (origin === undefined || origin === `${asked.scheme}://${asked.host}`) return undefined
  return session.return_to.includes(origin) ? undefined : fail("ORIGIN_NOT_ALLOWED")
}
