import { expect, test } from "bun:test"
import type { Revocation } from "../../src/identity/messages.ts"
import { RevocationSet } from "../../src/identity/revocation_set.ts"
import { known } from "../support/authenticator.ts"

class Fixture {
  now = 1000
  readonly dropped: number[] = []
  readonly set: RevocationSet
  constructor(max?: number) {
    this.set = new RevocationSet({ wallClock: () => this.now, onDropped: (n) => this.dropped.push(n) }, max)
  }
  revoke(kind: Revocation["kind"], subject: string, expiresAt: number): void {
    this.set.update({ revocations: [{ kind, subject, expiresAt }] })
  }
}

function principal(fields: { sessionId?: string; tokenId?: string; method?: "jwt" | "api_key" }) {
  const answer = known({ method: "jwt", ...fields })
  if (answer.kind !== "principal") throw new Error("unreachable")
  return answer.principal
}

test("[F-54] a sign-in, a token and an API key are revoked, each by its own id", () => {
  const fixture = new Fixture()
  const { set } = fixture
  fixture.revoke("session", "s1", 5000)
  fixture.revoke("token", "t1", 5000)
  fixture.revoke("api_key", "k1", 5000)
  expect(set.isRevoked(principal({ sessionId: "s2", tokenId: "t2" }))).toBe(false)
  expect(set.isRevoked(principal({ sessionId: "s1", tokenId: "t9" }))).toBe(true)
  expect(set.isRevoked(principal({ tokenId: "t1" }))).toBe(true)
  expect(set.isRevoked(principal({ tokenId: "k1", method: "api_key" }))).toBe(true)
})

test("the id of an API key does not revoke a token that has the same id, nor the other way round", () => {
  const fixture = new Fixture()
  fixture.revoke("api_key", "x", 5000)
  fixture.revoke("token", "y", 5000)
  expect(fixture.set.isRevoked(principal({ tokenId: "x" }))).toBe(false)
  expect(fixture.set.isRevoked(principal({ tokenId: "y", method: "api_key" }))).toBe(false)
})

test("revocations are forgotten when what they revoke is over", () => {
  const fixture = new Fixture()
  fixture.revoke("session", "s1", 2000)
  fixture.revoke("session", "s2", 9000)
  fixture.now = 2000
  fixture.set.sweep()
  expect(fixture.set.size).toBe(1)
  expect(fixture.set.isRevoked(principal({ sessionId: "s2" }))).toBe(true)
})

test("a revocation told again with an earlier end keeps the later one", () => {
  const fixture = new Fixture()
  fixture.revoke("session", "s1", 9000)
  fixture.revoke("session", "s1", 2000)
  fixture.now = 3000
  fixture.set.sweep()
  expect(fixture.set.isRevoked(principal({ sessionId: "s1" }))).toBe(true)
})

test("at the cap those go that would be forgotten first, and that is told", () => {
  const fixture = new Fixture(80)
  for (let i = 0; i < 80; i++) fixture.revoke("token", `t${i}`, 10_000 - i)
  expect(fixture.dropped).toEqual([])
  fixture.revoke("token", "one more", 20_000)
  expect(fixture.dropped).toEqual([11])
  expect(fixture.set.size).toBe(70)
  expect(fixture.set.isRevoked(principal({ tokenId: "t0" }))).toBe(true)
  expect(fixture.set.isRevoked(principal({ tokenId: "one more" }))).toBe(true)
  expect(fixture.set.isRevoked(principal({ tokenId: "t79" }))).toBe(false)
})

test("[F-54] whoever revokes many tokens of their own does not bring an ended sign-in back to life", () => {
  const fixture = new Fixture(100)
  fixture.revoke("session", "s1", 5000)
  fixture.revoke("api_key", "k1", 5000)
  for (let i = 0; i < 300; i++) fixture.revoke("token", `t${i}`, 9000)
  expect(fixture.set.size).toBeLessThanOrEqual(100)
  expect(fixture.dropped.length).toBeGreaterThan(0)
  expect(fixture.set.isRevoked(principal({ sessionId: "s1" }))).toBe(true)
  expect(fixture.set.isRevoked(principal({ tokenId: "k1", method: "api_key" }))).toBe(true)
})
