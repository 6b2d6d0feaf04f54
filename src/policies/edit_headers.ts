import Type from "typebox"
import { definePolicy } from "./policy.ts"

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

export const editHeaders = definePolicy({
  name: "edit_headers",
  doc: "Edits headers of the request to the service and of the response to the client.",
  failsClosed: true,
  schema: Type.Object(
    { request: edits("Towards the service."), response: edits("Towards the client.") },
    { additionalProperties: false },
  ),
  compile(options) {
    const { request, response } = options
    return {
      request(exchange) {
        for (const name of request.remove) exchange.requestEdits.drop(name.toLowerCase())
        for (const [name, value] of Object.entries(request.set))
          exchange.requestEdits.set(name.toLowerCase(), value)
        return undefined
      },
      response(exchange) {
        for (const name of response.remove) exchange.responseEdits.drop(name.toLowerCase())
        for (const [name, value] of Object.entries(response.set))
          exchange.responseEdits.set(name.toLowerCase(), value)
      },
    }
  },
})
