import type { TSchema } from "typebox"
import { Type } from "../lib/type.ts"

const MOST = 8

/** Options of one limit or quota, or a list of such: all of them hold. */
export const oneOrSeveral = <S extends TSchema>(each: S, description: string) =>
  Type.Union([each, Type.Array(each, { minItems: 1, maxItems: MOST, description })])

/** One or several, as a list. */
export function allOf<T>(options: T | readonly T[]): readonly T[] {
  return Array.isArray(options) ? options : [options as T]
}
