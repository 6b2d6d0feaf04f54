import { expect, test } from "bun:test"
import { parseCommand } from "../../src/cli/args.ts"

const FLAGS = {
  config: { type: "string", short: "c" },
  header: { type: "string", short: "H", multiple: true },
  format: { type: "string", default: "text" },
  force: { type: "boolean", short: "f" },
} as const

const parse = (...args: string[]) => parseCommand(args, FLAGS, ["FROM", "TO"], 1)

test.each([[["-c", "a.yaml"]], [["-ca.yaml"]], [["--config", "a.yaml"]], [["--config=a.yaml"]]])(
  "a value stands behind its flag or in the same word: %j",
  (flag) => {
    expect(parse("x", ...flag)).toMatchObject({ ok: true, values: { config: "a.yaml" }, positionals: ["x"] })
  },
)

test("of a flag given twice the last one counts, or each where it may be given several times", () => {
  const parsed = parse("-c", "a", "-c", "b", "-H", "one: 1", "--header=two: 2", "x")
  expect(parsed).toMatchObject({ values: { config: "b", header: ["one: 1", "two: 2"] } })
})

test("a flag that is not given is absent, or has its default", () => {
  expect(parse("x")).toEqual({ ok: true, values: { format: "text" }, positionals: ["x"] })
})

test("all that follows two dashes are words, and one dash is a word", () => {
  expect(parse("--force", "-", "--", "--config")).toMatchObject({
    values: { force: true },
    positionals: ["-", "--config"],
  })
})

test("a value may begin with a dash in the same word only: behind its flag it is the next flag", () => {
  expect(parse("--config=-a", "x")).toMatchObject({ values: { config: "-a" } })
  expect(parse("x", "--config", "--force")).toEqual({ ok: false, message: "--config needs a value" })
  expect(parse("x", "-c", "-")).toMatchObject({ values: { config: "-" } })
})

test.each([
  [["x", "-c"], "-c needs a value"],
  [["x", "--force=yes"], "--force takes no value"],
  [["x", "--confg", "a"], 'unknown flag --confg; did you mean "--config"?'],
  [["x", "-x"], "unknown flag -x"],
  [["x", "--constructor"], "unknown flag --constructor"],
  [["x", "y", "z"], 'unexpected argument "z"'],
  [[], "missing FROM"],
])("%j makes no sense: %s", (args, message) => {
  expect(parse(...args)).toEqual({ ok: false, message })
})
