import { FieldList } from "../http1/field_list.ts"

// `Headers.forEach` takes a function, and one made for each request would cost more than the visit.
let lines: string[] = []

function collect(value: string, name: string): void {
  lines.push(name, value)
}

/**
 * The fields of a request as the Serve door gets them: names in lower case, lines of one name joined. Read
 * in one visit: every later look is into a short list, where each look into Headers is a call of the runtime.
 */
export function readFields(headers: Headers): FieldList {
  lines = []
  headers.forEach(collect)
  return new FieldList(lines)
}
