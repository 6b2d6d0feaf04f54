import type { TSchema } from "typebox"
import { Compile } from "typebox/compile"

/** A validator that is compiled at its first use: some ms each, and dozens of them would hold up every start. */
export function compileLate<S extends TSchema>(schema: S): () => ReturnType<typeof Compile<S>> {
  let validator: ReturnType<typeof Compile<S>> | undefined
  return () => (validator ??= Compile(schema))
}
