import { expect, spyOn, test } from "bun:test"
import { passwordProblems } from "../../src/identity/password_policy.ts"
import { HasherBusy, PasswordHasher } from "../../src/identity/passwords.ts"

const RULES = { min_length: 12, blocked: ["Gatehouse"] }
const PERSONAL = ["ann.miller@example.com", "Ann Miller"]

test.each([
  ["short", "at least 12 characters"],
  ["a".repeat(129), "not be longer than 128"],
  ["aaaaaaaaaaaaaaaa", "repetition or a sequence"],
  ["abcabcabcabcabc", "repetition or a sequence"],
  ["abcdefghijklmnop", "repetition or a sequence"],
  ["123456789012", "repetition or a sequence"],
  ["1q2w3e4r5t6y", "most common"],
  ["Password1234!", "most common"],
  ["passw0rdpassw0rd", "most common"],
  ["MotherFucker99", "most common"],
  ["my ann.miller 77", "the login"],
  ["xx Ann Miller xx", "the login"],
  ["gatehouse is nice", "blocked here"],
])("[V-auth.1] the password %p is refused, and the reason says %p", async (password, reason) => {
  const problems = await passwordProblems(password, RULES, PERSONAL)
  expect(problems.join("; ")).toContain(reason)
})

test.each([
  "correct horse battery",
  "Überraschung im Oktober",
  "пароль длиннее чем нужно",
  "8f3kd92mxq7z",
  "🦊🦊🐻🐼🐨🐯🦁🐮🐷🐸🐵🐔",
  "x".repeat(5) + "y".repeat(123),
])("[V-auth.1] the password %p will do", async (password) => {
  expect(await passwordProblems(password, RULES, PERSONAL)).toEqual([])
})

test("[V-auth.1] a hash is argon2id of the cost OWASP asks for, salted, and only its password fits", async () => {
  const hasher = new PasswordHasher()
  const [one, two] = await Promise.all([
    hasher.hash("correct horse battery"),
    hasher.hash("correct horse battery"),
  ])
  expect(one).toStartWith("$argon2id$v=19$m=19456,t=2,p=1$")
  expect(one).not.toBe(two)
  expect(await hasher.verify("correct horse battery", one)).toBe(true)
  expect(await hasher.verify("correct horse batterz", one)).toBe(false)
  expect(hasher.isOutdated(one)).toBe(false)
})

test("two ways to type the same letters are one password", async () => {
  const hasher = new PasswordHasher()
  const hash = await hasher.hash("U\u0308berraschung im Garten")
  expect(await hasher.verify("Überraschung im Garten", hash)).toBe(true)
})

test.each([
  ["no account", undefined],
  ["an empty password", ""],
  ["a huge password", "x".repeat(60_000)],
])("[V-auth.1] %s takes the work of a hash, and is wrong", async (_name, password) => {
  const hasher = new PasswordHasher()
  const hash = password === undefined ? undefined : await hasher.hash("correct horse battery")
  await hasher.verify("warm", undefined)
  const verify = spyOn(Bun.password, "verify")
  try {
    expect(await hasher.verify(password ?? "correct horse battery", hash)).toBe(false)
    expect(verify).toHaveBeenCalledTimes(1)
    expect(String(verify.mock.calls[0]![0]).length).toBeLessThan(200)
    expect(verify.mock.calls[0]![1]).toStartWith("$argon2id$v=19$m=19456,t=2,p=1$")
  } finally {
    verify.mockRestore()
  }
})

test("the password nobody has is not the password of no account", async () => {
  expect(await new PasswordHasher().verify("no account has this password", undefined)).toBe(false)
})

test("at most two are hashed at a time, 64 wait, and the next is told to come again", async () => {
  const hasher = new PasswordHasher()
  let running = 0
  let most = 0
  const ends: (() => void)[] = []
  const hash = spyOn(Bun.password, "hash").mockImplementation(async () => {
    most = Math.max(most, ++running)
    await new Promise<void>((resolve) => ends.push(resolve))
    running--
    return "hash"
  })
  try {
    const all = Array.from({ length: 66 }, () => hasher.hash("correct horse battery"))
    expect(hasher.hash("correct horse battery")).rejects.toBeInstanceOf(HasherBusy)
    let ended = 0
    while (ended < 66) {
      const end = ends.shift()
      if (end === undefined) await Promise.resolve()
      else {
        end()
        ended++
      }
    }
    expect(await Promise.all(all)).toHaveLength(66)
    expect(most).toBe(2)
  } finally {
    hash.mockRestore()
  }
})
