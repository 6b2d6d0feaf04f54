import { LineNames } from "../http1/fields.ts"
import { Type } from "../lib/type.ts"
import { definePolicy } from "./policy.ts"

/** Ids worth keeping: short, and harmless in any header, log line or URL. */
const ACCEPTED = /^[A-Za-z0-9._~+/=:-]{1,128}$/

export const requestId = definePolicy({
  name: "request_id",
  doc: "Gives every request an id, sent to the service and back to the client, and logged.",
  failsClosed: false,
  always: true,
  schema: Type.Object(
    {
      header: Type.String({
        default: "x-request-id",
        pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
        description: "Header of the id, in and out.",
      }),
      trust: Type.Boolean({
        default: true,
        description:
          "Keep the client's id when it is 1 to 128 letters, digits or any of `._~+/=:-`; otherwise a new one is made.",
      }),
    },
    { additionalProperties: false },
  ),
  compile(options) {
    const header = options.header.toLowerCase()
    const { trust } = options
    const names = new LineNames([header])
    return {
      request(exchange) {
        const sent = trust ? exchange.header(header) : undefined
        if (sent !== undefined && ACCEPTED.test(sent)) exchange.id = sent
        exchange.requestEdits.put(names, `${header}: ${exchange.id}\r\n`)
        return undefined
      },
      response({ id, requestEdits, responseEdits }) {
        // The same text: it was put together once.
        responseEdits.put(names, requestEdits.linesOf(names) ?? `${header}: ${id}\r\n`)
      },
    }
  },
})
