import { type Path, pathText } from "./problem.ts"
import type { Problems, Tree } from "./tree.ts"

/** Variables by name, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>

/** A tree whose `${NAME}` and `${NAME:-default}` are replaced. */
export interface Interpolated {
  readonly tree: Tree
  /** What the file says where a value came from the environment, by `pathText`: shown in place of the value. */
  readonly written: ReadonlyMap<string, string>
  /** Values that are one placeholder and nothing else: they may be meant as numbers or booleans. */
  readonly whole: readonly Path[]
}

const PLACEHOLDER = /\$(\$?)\{([^{}\n]*)\}/g
const EXAMPLES = `\${NAME} or \${NAME:-default}`
const REFERENCE = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/

/**
 * Replaces placeholders in every string (not in keys). A default is used when the variable is unset or empty,
 * as in a shell. `$${NAME}` stays as the text `${NAME}`. What a variable holds is not searched again.
 */
export function interpolate(tree: Tree, env: Environment, problems: Problems): Interpolated {
  const written = new Map<string, string>()
  const whole: Path[] = []

  const visit = (value: Tree, path: Path): Tree => {
    if (typeof value === "string") return value.includes("${") ? replace(value, path) : value
    if (value === null || typeof value !== "object") return value
    if (Array.isArray(value)) return value.map((each, i) => visit(each, [...path, i]))
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, visit(each, [...path, key])]))
  }

  const replace = (text: string, path: Path): string => {
    written.set(pathText(path), text)
    if (/^\$\{[^{}\n]*\}$/.test(text)) whole.push(path)
    return text.replace(PLACEHOLDER, (found, escaped: string, inner: string) => {
      if (escaped !== "") return found.slice(1)
      const [, name, fallback] = REFERENCE.exec(inner) ?? []
      if (name === undefined) {
        // The text between the braces may be a secret that was pasted in.
        problems.add(path, `malformed placeholder; write ${EXAMPLES}, and $\${ for a plain \${`)
        return ""
      }
      const value = Object.hasOwn(env, name) ? env[name] : undefined
      if (fallback !== undefined) return value === undefined || value === "" ? fallback : value
      if (value === undefined) {
        problems.add(
          path,
          `the environment variable ${name} is not set; set it or write \${${name}:-default}`,
        )
      }
      return value ?? ""
    })
  }

  return { tree: visit(tree, []), written, whole }
}

/** A scalar as YAML's core schema reads a plain one. */
export function readScalar(text: string): Tree {
  if (/^(true|True|TRUE)$/.test(text)) return true
  if (/^(false|False|FALSE)$/.test(text)) return false
  if (/^[-+]?(\d+|\d*\.\d+|\d+\.)(e[-+]?\d+)?$/i.test(text)) return Number(text)
  return text
}
