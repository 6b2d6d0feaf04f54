import { expect, test } from "bun:test"
import { join } from "node:path"
import type { TSchema } from "typebox"
import { Value } from "typebox/value"
import { fillDefaults } from "../../src/config/fill_defaults.ts"
import { fits, surelyFits } from "../../src/config/fits.ts"
import { ConfigSchema } from "../../src/config/schema.ts"
import { asSchema } from "../../src/config/schema_walk.ts"

const schema = asSchema(ConfigSchema)
const EXAMPLES = join(import.meta.dir, "../../examples")

async function example(name: string): Promise<unknown> {
  const text = await Bun.file(join(EXAMPLES, `${name}.yaml`)).text()
  const filled = text.replace(/\$\{\w+:-([^}]*)\}/g, "$1").replace(/\$\{\w+\}/g, "x".repeat(32))
  return fillDefaults(schema, Bun.YAML.parse(filled))
}

/** Numbers below `n`, the same ones at every run. */
function chooser(seed: number): (n: number) => number {
  let state = seed
  return (n) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) % n
  }
}

const ODD: readonly unknown[] = [
  ...[null, true, "", "é".repeat(3), "👨‍👩‍👧", "a\u0301", " ", "30s", "64KB", "x".repeat(500)],
  ...[0, -1, 1.5, 99_999_999, [], [1, 1], ["a", "a"], ["a", ["b"]], {}, { a: 1 }, { constructor: 1 }],
]

type Mapping = Record<string | number, unknown>

/** Puts something else in one place, takes a key out or adds one. */
function spoil(root: unknown, choose: (n: number) => number): void {
  let at = root as Mapping
  for (;;) {
    const keys = Object.keys(at)
    const key = keys[choose(keys.length)]
    const inner = key === undefined ? undefined : at[key]
    if (typeof inner === "object" && inner !== null && Object.keys(inner).length > 0 && choose(4) > 0) {
      at = inner as Mapping
      continue
    }
    const kind = choose(8)
    if (kind === 0 && key !== undefined) delete at[key]
    else if (kind === 1) at[["unknown", "__proto_", "toString", "é"][choose(4)]!] = ODD[choose(ODD.length)]
    else if (key !== undefined) at[key] = ODD[choose(ODD.length)]
    return
  }
}

for (const name of ["gatehouse", "isaas", "tta", "storyverse"]) {
  test(`${name}.yaml fits without asking TypeBox`, async () => {
    expect(surelyFits(schema, await example(name))).toBe(true)
  })

  test(`nothing surely fits that TypeBox refuses, for a hundred spoilt copies of ${name}.yaml`, async () => {
    const config = await example(name)
    const choose = chooser(7)
    let refused = 0
    for (let i = 0; i < 120; i++) {
      const spoilt = structuredClone(config)
      spoil(spoilt, choose)
      const expected = Value.Check(ConfigSchema, spoilt)
      if (!expected) refused++
      if (surelyFits(schema, spoilt)) expect(expected).toBe(true)
      else expect(fits(schema, spoilt)).toBe(expected)
    }
    expect(refused).toBeGreaterThan(40)
  })
}

test("a value is asked for all that each keyword of the schema says", () => {
  const odd = ODD.concat("ab", "abc", 1, 2, 3, ["a"], ["a", "b"], { a: "b" }, { a: 1, b: 2 })
  const schemas: readonly object[] = [
    { type: "string", minLength: 2, maxLength: 2 },
    { type: "string", pattern: "^a" },
    { type: "integer", minimum: 1, maximum: 2 },
    { type: "number", exclusiveMinimum: 1 },
    { type: "boolean" },
    { type: "array", items: { type: "string" }, minItems: 1, maxItems: 1 },
    { type: "array", uniqueItems: true },
    { const: "ab" },
    { enum: ["ab", 1, null] },
    { anyOf: [{ type: "boolean" }, { type: "string" }] },
    { type: "object", properties: { a: { type: "string" } }, required: ["a"], additionalProperties: false },
    { type: "object", properties: { a: { type: "string" } } },
    { type: "object", patternProperties: { "^a$": { type: "integer" } }, minProperties: 1 },
    { properties: { a: { type: "string" } } },
    { not: {} },
    {},
  ]
  for (const each of schemas) {
    for (const value of odd) {
      const expected = Value.Check(each as TSchema, value)
      expect([each, value, fits(each, value)]).toEqual([each, value, expected])
      if (surelyFits(each, value)) expect(expected).toBe(true)
    }
  }
})
