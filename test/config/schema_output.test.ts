import { expect, test } from "bun:test"
import { join } from "node:path"
import { Value } from "typebox/value"
import { decodeUnits } from "../../src/config/decode_units.ts"
import { fillDefaults } from "../../src/config/fill_defaults.ts"
import { configJsonSchema } from "../../src/config/json_schema.ts"
import { referencePage } from "../../src/config/markdown.ts"
import { ConfigSchema } from "../../src/config/schema.ts"
import { asSchema } from "../../src/config/schema_walk.ts"
import { METRICS } from "../../src/observe/catalogue.ts"
import { FAILURES } from "../../src/policies/failure.ts"
import { ORDER } from "../../src/policies/order.ts"

const root = join(import.meta.dir, "../..")

async function example(name: string): Promise<object> {
  const text = await Bun.file(join(root, "examples", name)).text()
  const filled = text.replace(/\$\{\w+:-([^}]*)\}/g, "$1").replace(/\$\{\w+\}/g, "x".repeat(32))
  return Bun.YAML.parse(filled) as object
}

test("[C-12.3] docs/reference.md is what `gatehouse schema --markdown` prints", async () => {
  expect(await Bun.file(join(root, "docs/reference.md")).text()).toBe(referencePage())
})

test("the reference has every policy, failure code and metric", () => {
  const page = referencePage()
  for (const { name } of ORDER) expect(page).toContain(`### \`${name}\``)
  for (const code of Object.keys(FAILURES)) expect(page).toContain(`| \`${code}\` |`)
  for (const { name } of METRICS) expect(page).toContain(`| \`${name}\` |`)
})

test("every key of the schema has a description", () => {
  const missing: string[] = []
  const visit = (schema: ReturnType<typeof asSchema>, path: string): void => {
    for (const [key, each] of Object.entries(schema.properties ?? {})) {
      if (each.description === undefined) missing.push(`${path}.${key}`)
      visit(each, `${path}.${key}`)
    }
    for (const each of [...Object.values(schema.patternProperties ?? {}), ...(schema.anyOf ?? [])])
      visit(each, path)
    if (schema.items) visit(schema.items, `${path}[]`)
  }
  visit(asSchema(ConfigSchema), "")
  expect(missing.filter((path) => !path.startsWith(".defaults") && path.split(".").length < 3)).toEqual([])
})

test("the JSON Schema is of draft 2020-12, asks only for what has no default, and knows placeholders", () => {
  // biome-ignore lint/suspicious/noExplicitAny: a JSON document is walked.
  const schema = configJsonSchema() as Record<string, any>
  expect(schema.$schema).toBe("https://json-schema.org/draft/2020-12/schema")
  expect(schema.required).toBeUndefined()
  expect(schema.properties.routes.items.required).toEqual(["path"])
  expect(schema.properties.services.additionalProperties).toBe(false)
  expect(new RegExp(schema.properties.server.properties.port.pattern).test(`$${"{PORT:-1}"}`)).toBe(true)
})

for (const name of ["gatehouse", "isaas", "tta", "storyverse", "cloudtolocalllm"]) {
  test(`defaults are filled in as TypeBox does, for ${name}.yaml`, async () => {
    const written = (await example(`${name}.yaml`)) as object
    const before = structuredClone(written)
    const filled = fillDefaults(asSchema(ConfigSchema), written)
    expect(written).toEqual(before)
    expect(filled).toEqual(Value.Default(ConfigSchema, structuredClone(written)))
  })

  test(`decoding by units is what TypeBox decodes, for ${name}.yaml`, async () => {
    const filled = Value.Default(ConfigSchema, await example(`${name}.yaml`))
    expect(decodeUnits(asSchema(ConfigSchema), filled)).toEqual(Value.Decode(ConfigSchema, filled))
  })
}
