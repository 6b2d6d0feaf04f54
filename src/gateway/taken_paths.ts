import type { Config } from "../config/schema.ts"

/** Paths at which no registered service may get a route by rule: a service must not answer in the gateway's name, or config's. */
export class TakenPaths {
  readonly #builtins = new Set<string>()
  readonly #configured: ReadonlySet<string>

  /** `builtins`: paths the gateway itself answers. */
  constructor({ routes }: Pick<Config, "routes">, builtins: readonly string[]) {
    for (const path of builtins)
      for (let at = path.length; at > 0; at = path.lastIndexOf("/", at - 1))
        this.#builtins.add(path.slice(0, at))
    this.#configured = new Set(routes.map(({ path }) => stem(path)))
  }

  /** Why a route with this path may not be made; `undefined`: it may. */
  problem(path: string): string | undefined {
    const at = stem(path)
    if (this.#builtins.has(at)) return `${path} holds endpoints of the gateway itself`
    if (this.#configured.has(at)) return `config has a route at ${path}`
    return undefined
  }
}

/** The path without what may follow it. */
const stem = (path: string): string => path.replace(/\/\*?$/, "")
