import { Type } from "../../lib/type.ts"
import { unfit } from "./json_body.ts"

/** Fields of bodies. Lengths bound the work; what a value must be beyond that is decided where it is used. */
/** Without controls: no login has one, and PostgreSQL takes no text with a NUL. */
export const LoginText = Type.String({
  minLength: 1,
  maxLength: 320,
  pattern: "^[^\\u0000-\\u001f\\u007f]+$",
})
export const PasswordText = Type.String({ minLength: 1, maxLength: 1024 })
export const TokenText = Type.String({ minLength: 1, maxLength: 512 })
export const DisplayName = Type.String({ minLength: 1, maxLength: 100 })
/** In years. */
export const AgeLimit = Type.Union([Type.Integer({ minimum: 0, maximum: 150 }), Type.Null()])
/** Tags travel in headers and tokens, as a list. */
export const BlockedContent = Type.Array(Type.String({ pattern: "^[a-z0-9][a-z0-9_.:-]{0,63}$" }), {
  maxItems: 50,
  uniqueItems: true,
})

/** Controls, unpaired surrogates, and marks that turn the direction of the text around them. */
const UNFIT_NAME = /[\p{Cc}\p{Cs}\p{Cn}\u202a-\u202e\u2066-\u2069]/u

/** Trimmed and composed, or a refusal. */
export function displayNameOf(text: string) {
  const name = text.normalize("NFC").trim()
  return name === "" || UNFIT_NAME.test(name)
    ? unfit("/display_name", "must have visible characters, without line breaks and controls")
    : name
}
