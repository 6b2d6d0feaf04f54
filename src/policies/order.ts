import { editHeaders } from "./edit_headers.ts"

/**
 * Every policy a route can ask for, in running order: request steps run from top to bottom, response steps
 * from bottom to top. The config type, validation, JSON Schema, reference and `explain` derive from this list.
 */
export const ORDER = [editHeaders] as const
