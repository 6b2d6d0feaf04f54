import { expect, test } from "bun:test"
import { Value } from "typebox/value"
import { auth } from "../../src/policies/auth.ts"
import { authInWords } from "../../src/policies/auth_words.ts"

const words = (options: object) =>
  authInWords(Value.Decode(auth.schema, Value.Default(auth.schema, structuredClone(options))))

test("what a route asks of its callers is told in words, every rule of it", () => {
  const all = {
    methods: ["jwt", "api_key"],
    roles: ["a", "b"],
    scopes: ["read", "write"],
    permissions: ["x:y"],
    tiers: ["premium"],
    owner: "path.id == principal.id",
    min_age: 12,
    content: ["war"],
  }
  expect(words(all)).toEqual([
    "needs a caller who proved its identity",
    "proved by jwt or api_key",
    "with the role a or b",
    "with the scope read and write",
    "with the permission x:y",
    "of the tier premium",
    "for whom this holds: path.id == principal.id",
    "without an age limit below 12",
    "who does not block war",
  ])
  expect(words({ required: false })).toEqual(["takes callers without credentials too"])
  // A rule that is added must be told too; `required` and `forward` are told elsewhere.
  const rules = Object.keys(auth.schema.properties).filter((key) => key !== "required" && key !== "forward")
  expect(Object.keys(all).sort()).toEqual(rules.sort())
})
