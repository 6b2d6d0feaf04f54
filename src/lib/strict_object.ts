import Type from "typebox"

/** A mapping of config that knows all its keys: others are errors. */
export const strictObject = <P extends Type.TProperties>(properties: P, options: Type.TObjectOptions = {}) =>
  Type.Object(properties, { additionalProperties: false, ...options })
