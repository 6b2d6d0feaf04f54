import Type, { type StaticDecode } from "typebox"
import { FORWARD_MODES } from "../identity/settings.ts"
import { fail } from "./failure.ts"
import { definePolicy } from "./policy.ts"

const list = (description: string) =>
  Type.Array(Type.String({ minLength: 1 }), { default: [], uniqueItems: true, description })

export const auth = definePolicy({
  name: "auth",
  doc: "Asks who is calling (401) and whether the caller may (403).",
  failsClosed: true,
  schema: Type.Object(
    {
      required: Type.Boolean({
        default: true,
        description: "Whether a caller without credentials is refused. Wrong credentials always are.",
      }),
      methods: Type.Array(Type.Enum(["jwt", "session", "api_key", "certificate"]), {
        default: [],
        uniqueItems: true,
        description: "Kinds of proof accepted; empty: all.",
      }),
      roles: list("The caller must have one of these roles."),
      scopes: list("The caller must have all of these scopes."),
      permissions: list("The caller must have all of these permissions, by its roles."),
      tiers: list("The caller must be of one of these tiers."),
      owner: Type.Optional(
        Type.String({
          description:
            'Condition on `path`, `query`, `headers`, `method` and `principal`, in CEL, e.g. `path.id == principal.id || "admin" in principal.roles`.',
        }),
      ),
      min_age: Type.Optional(
        Type.Integer({
          minimum: 0,
          maximum: 21,
          description: "Accounts with an age limit below this are refused.",
        }),
      ),
      content: list("Content tags of what is behind the route; accounts that block one of them are refused."),
      forward: Type.Optional(
        Type.Enum([...FORWARD_MODES], {
          description: "How the service learns who calls; default: `auth.forward` of the whole config.",
        }),
      ),
    },
    { additionalProperties: false },
  ),
  compile() {
    return {
      request() {
        return fail("AUTH_ERROR")
      },
    }
  },
})

/** Options of a route that any caller may use, whoever it is. */
export const ANY_CALLER: StaticDecode<typeof auth.schema> = {
  required: true,
  methods: [],
  roles: [],
  scopes: [],
  permissions: [],
  tiers: [],
  content: [],
}
