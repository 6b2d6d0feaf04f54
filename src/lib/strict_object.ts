import type { TObjectOptions, TProperties } from "typebox"
import { Type } from "./type.ts"

/** A mapping of config that knows all its keys: others are errors. */
export const strictObject = <P extends TProperties>(properties: P, options: TObjectOptions = {}) =>
  Type.Object(properties, { additionalProperties: false, ...options })
