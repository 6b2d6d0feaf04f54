import type { Validator } from "typebox/compile"

/** What is wrong with one field. Never holds its value. */
export interface FieldError {
  /** JSON pointer. */
  readonly field: string
  readonly message: string
}

const MAX_ERRORS = 20
const MAX_FIELD_LENGTH = 64

interface SchemaError {
  readonly keyword: string
  readonly instancePath: string
  readonly params: object
  readonly message: string
}

/** Why the value does not fit, at most 20 of the reasons. */
export function fieldErrors(validator: Pick<Validator, "Errors">, value: unknown): readonly FieldError[] {
  return [...validator.Errors(value)].flatMap(toErrors).slice(0, MAX_ERRORS)
}

function toErrors({ keyword, instancePath, params, message }: SchemaError): readonly FieldError[] {
  const { requiredProperties = [], additionalProperties = [] } = params as {
    requiredProperties?: readonly string[]
    additionalProperties?: readonly string[]
  }
  const at = (name: string, text: string): FieldError => ({
    field: `${instancePath}/${name}`.slice(0, MAX_FIELD_LENGTH),
    message: text,
  })
  if (keyword === "required") return requiredProperties.map((name) => at(name, "is required"))
  if (keyword === "additionalProperties")
    return additionalProperties.map((name) => at(name, "is not known here"))
  // Said by the one above; and the branches of a choice are told as one.
  if (keyword === "boolean" || keyword === "anyOf") return []
  return [{ field: instancePath.slice(0, MAX_FIELD_LENGTH), message }]
}
