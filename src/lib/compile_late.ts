import type { TSchema } from "typebox"
import type { Compile } from "typebox/compile"
import { late } from "./late.ts"

/** A validator that is compiled at its first use: some ms each, and dozens of them would hold up every start. */
export function compileLate<S extends TSchema>(schema: S): () => ReturnType<typeof Compile<S>> {
  let validator: ReturnType<typeof Compile<S>> | undefined
  return () => (validator ??= late.typebox.Compile(schema))
}
