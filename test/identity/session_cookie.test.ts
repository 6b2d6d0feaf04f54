import { expect, test } from "bun:test"
import { csrfToken } from "../../src/identity/csrf.ts"
import { readSessionCookie, sessionCookieName, withoutCookie } from "../../src/identity/session_cookie.ts"
import { authSettings } from "../support/authenticator.ts"

test("[C-2.7] over https no other host of the domain can set the session cookie", () => {
  expect(sessionCookieName(authSettings(), "https")).toBe("__Host-gh_session")
  expect(sessionCookieName(authSettings({ session: { cookie: "sid" } }), "http")).toBe("sid")
})

const cases: [header: string | undefined, found: string | undefined][] = [
  [undefined, undefined],
  ["", undefined],
  ["a=1", undefined],
  ["s=1", "1"],
  ["a=1; s=2; b=3", "2"],
  ["a=1;s=2", "2"],
  [" s = 2 ", "2"],
  ["s=a=b", "a=b"],
  ["s=", undefined],
  ["s", undefined],
  ["xs=1; s2=2; a=s=3", undefined],
  ["S=1", undefined],
  ["s=1; s=2", "several"],
  ["s=1; s=1", "several"],
  ["s=; s=2", "several"],
]
for (const [header, found] of cases) {
  test(`[C-2.7] the session of the Cookie field ${JSON.stringify(header)} is ${found}`, () =>
    expect(readSessionCookie(header, "s")).toBe(found))
}

test("[C-2.7] taking the session cookie out leaves the others as they are", () => {
  expect(withoutCookie("a=1; s=2; b=3", "s")).toBe("a=1; b=3")
  expect(withoutCookie("s=1; s=2", "s")).toBeUndefined()
  expect(withoutCookie('a="x y";  b', "s")).toBe('a="x y";  b')
})

test("[C-2.7] a CSRF token is fixed for a session, differs between sessions and does not hold the session", () => {
  expect(csrfToken("one")).toBe(csrfToken("one"))
  expect(csrfToken("one")).not.toBe(csrfToken("two"))
  expect(csrfToken("one")).toMatch(/^[\w-]{43}$/)
})
