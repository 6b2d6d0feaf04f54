import type { Edits } from "../http1/fields.ts"
import { Type } from "../lib/type.ts"
import { isFieldName, isFieldValue, isReservedField } from "./header_rules.ts"
import { definePolicy, type PolicySteps } from "./policy.ts"

const names = (description: string) => Type.Array(Type.String(), { default: [], description })
const values = (description: string) =>
  Type.Record(Type.String(), Type.String(), { default: {}, description })

const edits = (description: string) =>
  Type.Object(
    {
      remove: names("Header names to leave out."),
      set: values("Headers to set, replacing what was there."),
      add: values("Headers to add beside what is there."),
    },
    { additionalProperties: false, default: {}, description },
  )

interface HeaderEdits {
  readonly remove: readonly string[]
  readonly set: Readonly<Record<string, string>>
  readonly add: Readonly<Record<string, string>>
}

function problemsOf(side: string, { remove, set, add }: HeaderEdits): string[] {
  const found: string[] = []
  const checkNames = (list: string, given: readonly string[]) => {
    const seen = new Set<string>()
    for (const name of given) {
      const at = `${side}.${list}.${name}`
      if (!isFieldName(name)) found.push(`${at}: not a header name`)
      else if (isReservedField(name)) found.push(`${at}: the gateway alone writes this header`)
      else if (seen.has(name.toLowerCase())) found.push(`${at}: named twice`)
      seen.add(name.toLowerCase())
    }
  }
  checkNames("remove", remove)
  checkNames("set", Object.keys(set))
  checkNames("add", Object.keys(add))
  for (const [list, lines] of [
    ["set", set],
    ["add", add],
  ] as const) {
    for (const [name, value] of Object.entries(lines)) {
      // The value may be a secret from the environment: it is never repeated here.
      if (!isFieldValue(value))
        found.push(`${side}.${list}.${name}: the value has control characters, outer spaces or is too long`)
    }
  }
  return found
}

/** The edits as lists that need no work per request: names in lower case; name, value, name, value, … */
function flatten({ remove, set, add }: HeaderEdits) {
  const flat = (lines: Readonly<Record<string, string>>) =>
    Object.entries(lines).flatMap(([name, value]) => [name.toLowerCase(), value])
  return { remove: remove.map((name) => name.toLowerCase()), set: flat(set), add: flat(add) }
}

function apply(edits: ReturnType<typeof flatten>, to: Edits): void {
  const { remove, set, add } = edits
  for (let i = 0; i < remove.length; i++) to.drop(remove[i]!)
  for (let i = 0; i < set.length; i += 2) to.set(set[i]!, set[i + 1]!)
  for (let i = 0; i < add.length; i += 2) to.add(add[i]!, add[i + 1]!)
}

const isEmpty = ({ remove, set, add }: ReturnType<typeof flatten>) =>
  remove.length + set.length + add.length === 0

export const editHeaders = definePolicy({
  name: "edit_headers",
  doc: "Edits headers of the request to the service and of the response to the client.",
  failsClosed: true,
  schema: Type.Object(
    { request: edits("Towards the service."), response: edits("Towards the client.") },
    { additionalProperties: false },
  ),
  check(options) {
    return [...problemsOf("request", options.request), ...problemsOf("response", options.response)]
  },
  compile(options) {
    const request = flatten(options.request)
    const response = flatten(options.response)
    const steps: PolicySteps = {}
    if (!isEmpty(request)) {
      steps.request = (exchange) => {
        apply(request, exchange.requestEdits)
        return undefined
      }
    }
    if (!isEmpty(response)) steps.response = (exchange) => apply(response, exchange.responseEdits)
    return steps
  },
})
