import { expect, test } from "bun:test"
import fc from "fast-check"
import { compileRegex, judgeRegex, QUADRATIC_MAX_CHARS } from "../../src/lib/safe_regex.ts"

const kind = (pattern: string) => judgeRegex(pattern).kind

const EXPONENTIAL = [
  "^(a+)+$",
  "(a*)*b",
  "(a|a)*b",
  "(a|aa)+$",
  "(x+x+)+y",
  "([a-z]?[a-z])*x",
  "^(\\w+\\s?)*$",
  "^(([a-z])+.)+[A-Z]([a-z])+$",
  "^([a-zA-Z0-9])(([\\-.]|[_]+)?([a-zA-Z0-9]+))*@$",
  "(.*)*",
  "((ab)*c?)*d",
  "(?:a{1,50}){1,50}$",
  "^(a|a){32}$",
  "^(a?){30}a{30}$",
  "(?=(a+)+$)x",
]

test("[F-25] patterns that take exponential time are refused", () => {
  for (const pattern of EXPONENTIAL) expect([pattern, kind(pattern)]).toEqual([pattern, "refused"])
})

test("[F-25] three neighbouring repetitions of the same characters are refused", () => {
  for (const pattern of ["^a*a*a*b$", "\\d*\\d*x", "a?".repeat(30) + "a".repeat(30)])
    expect([pattern, kind(pattern)]).toEqual([pattern, "refused"])
})

test("[F-25] back references, inline flags and what is no pattern are refused with a reason", () => {
  for (const pattern of ["(a)\\1", "(?<x>a)\\k<x>", "(?i:a)", "(a", "[z-a]", "a**"]) {
    const cost = judgeRegex(pattern)
    expect(cost.kind).toBe("refused")
    expect(cost).toHaveProperty("reason")
  }
})

test("patterns as people write them are accepted", () => {
  const linear = [
    "^[a-z0-9]+(?:-[a-z0-9]+)*$",
    "^[a-z](-?[a-z])*$",
    "^\\d+\\.\\d+\\.\\d+$",
    "^\\+?[1-9]\\d{1,14}$",
    "^.{1,2000}$",
    "^[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}$",
    "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
    "^((25[0-5]|2[0-4]\\d|[01]?\\d\\d?)\\.){3}(25[0-5]|2[0-4]\\d|[01]?\\d\\d?)$",
    "^\\d{4}-\\d{2}-\\d{2}(T\\d{2}:\\d{2}(:\\d{2}(\\.\\d+)?)?(Z|[+-]\\d{2}:\\d{2})?)?$",
    "^[\\p{L} ]+$",
    "^\\u{1f600}|[\\u0041-\\x5a]$",
    "abc",
  ]
  for (const pattern of linear) {
    const found = kind(pattern)
    expect([pattern, found === "refused"]).toEqual([pattern, false])
  }
  for (const pattern of ["^[^@]+@[^@]+\\.[^@]+$", "[a-z]+$", "^(?=.*[A-Z])(?=.*\\d).{8,64}$"])
    expect([pattern, kind(pattern)]).toEqual([pattern, "quadratic"])
})

test("[F-25] a pattern of quadratic time is not tried on a long text", () => {
  const regex = compileRegex("a+$")
  expect(regex.test("a".repeat(QUADRATIC_MAX_CHARS))).toBe(true)
  const started = performance.now()
  // It would take minutes.
  expect(regex.test(`${"a".repeat(1_000_000)}b`)).toBe(false)
  expect(performance.now() - started).toBeLessThan(2000)
})

test("[F-25] no pattern that is accepted holds the thread for long", () => {
  const atom = fc.constantFrom("a", "b", "[ab]", ".", "\\w", "(?:a|b)", "(?:a|ab)", "(?:a|)", "^", "$")
  const quantifier = fc.constantFrom("", "", "*", "+", "?", "{2}", "{0,3}", "{2,}")
  const { pattern } = fc.letrec<{ pattern: string; piece: string }>((tie) => ({
    pattern: fc.array(tie("piece"), { minLength: 1, maxLength: 4 }).map((pieces) => pieces.join("")),
    piece: fc.oneof(
      { depthSize: "small" },
      fc.tuple(atom, quantifier).map(([body, times]) => (/[$^]/.test(body) ? body : body + times)),
      fc.tuple(tie("pattern"), quantifier).map(([body, times]) => `(?:${body})${times}`),
      fc.tuple(tie("pattern"), tie("pattern")).map(([a, b]) => `(?:${a}|${b})`),
    ),
  }))
  const texts = [
    "a".repeat(400),
    "ab".repeat(200),
    `${"a".repeat(400)}!`,
    `${"ab".repeat(200)}!`,
    `${"b".repeat(400)}!`,
  ]
  fc.assert(
    fc.property(pattern, (source) => {
      if (judgeRegex(source).kind === "refused") return
      const regex = new RegExp(source, "u")
      const started = performance.now()
      for (const text of texts) regex.test(text)
      expect([source, performance.now() - started > 1000]).toEqual([source, false])
    }),
    { numRuns: 600 },
  )
})

test("[F-25] judging takes little time, whatever the pattern", () => {
  const hard = [
    `(?:${"[a-c]?".repeat(90)})*`,
    `${"(?:a|b|c)*".repeat(60)}`,
    "((((((a*)*)*)*)*)*)*",
    "a{1000}{1000}",
  ]
  for (const pattern of hard) {
    const started = performance.now()
    judgeRegex(pattern)
    expect([pattern, performance.now() - started < 2000]).toEqual([pattern, true])
  }
})
