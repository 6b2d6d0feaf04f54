import { type MediaType, negotiateType, parseMediaType } from "../lib/accept.ts"
import { remember } from "../lib/remember.ts"
import { Type } from "../lib/type.ts"
import { fail } from "./failure.ts"
import { definePolicy } from "./policy.ts"

/** Header values whose verdict is kept: clients of a route send a handful of different ones. */
const MAX_KNOWN = 256

export const accept = definePolicy({
  name: "accept",
  doc: "Refuses requests whose Accept header fits none of the media types of the route (406).",
  failsClosed: true,
  schema: Type.Object(
    {
      types: Type.Array(Type.String(), {
        default: ["application/json"],
        minItems: 1,
        description: "Media types the route answers with, the preferred one first.",
      }),
    },
    { additionalProperties: false },
  ),
  check(options) {
    return options.types
      .filter((type) => parseMediaType(type) === undefined)
      .map((type) => `types: "${type}" is not a media type; write one like "application/json"`)
  },
  compile(options) {
    const offered = options.types.map(parseMediaType).filter((type): type is MediaType => type !== undefined)
    const refusal = fail("NOT_ACCEPTABLE", { details: { available: options.types } })
    const isAcceptable = remember((accepted) => negotiateType(accepted, offered) !== undefined, MAX_KNOWN)
    return {
      request(exchange) {
        const accepted = exchange.header("accept")
        return accepted === undefined || isAcceptable(accepted) ? undefined : refusal
      },
    }
  },
})
