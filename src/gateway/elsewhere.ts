import type { Static } from "typebox"
import type { Clock } from "../lib/clock.ts"
import { compileLate } from "../lib/compile_late.ts"
import { parseJsonObject } from "../lib/json_object.ts"
import { strictObject } from "../lib/strict_object.ts"
import { Type } from "../lib/type.ts"
import type { Redis } from "../store/redis.ts"
import { SHARE_TROUBLES } from "../store/trouble_script.ts"
import type { ServiceView } from "../upstream/describe.ts"
import type { After } from "./supervisor.ts"

export type TroubleState = "circuit_open" | "circuit_half_open" | "ejected" | "draining" | "unhealthy"

/** Something that is out of order as other gateways see it. */
export interface Trouble {
  /** "": the whole service. */
  readonly instance: string
  readonly state: TroubleState
  /** How many of the others see it so. */
  readonly gateways: number
}

export interface ElsewhereView {
  /** Other gateways that were heard of within the last seconds. */
  readonly gateways: number
  /** What they see, by service; those without troubles are absent. */
  readonly services: ReadonlyMap<string, readonly Trouble[]>
}

export interface ElsewhereDeps {
  readonly redis: Pick<Redis, "run" | "prefix">
  /** By what the others tell this gateway apart. */
  readonly gateway: string
  readonly services: () => readonly ServiceView[]
  readonly now: Clock
  readonly after: After
}

const ROUND_MS = 400
/** What was told so long ago is no longer shown. */
const FORGOTTEN_MS = 5000
/** Troubles one gateway tells; what comes after is left out. */
const MAX_TROUBLES = 500
const MAX_TEXT = 256 * 1024

const Told = strictObject({
  troubles: Type.Array(
    strictObject({
      service: Type.String({ minLength: 1, maxLength: 63 }),
      instance: Type.String({ maxLength: 300, pattern: "^[\\x21-\\x7e]*$" }),
      state: Type.Enum(["circuit_open", "circuit_half_open", "ejected", "draining", "unhealthy"]),
    }),
    { maxItems: MAX_TROUBLES },
  ),
})
const told = compileLate(Told)
type OwnTrouble = Static<typeof Told>["troubles"][number]

interface Heard {
  /** On this gateway's clock. */
  readonly toldAt: number
  readonly troubles: readonly OwnTrouble[]
}

const encoder = new TextEncoder()

/**
 * What other gateways think of services and instances: advice for people. Nothing here decides where a request goes,
 * as another gateway may be the one that is cut off; what is not told again fades within seconds.
 */
export class Elsewhere {
  readonly #deps: ElsewhereDeps
  readonly #key: string
  #heard: readonly Heard[] = []
  #stop = (): void => {}
  #closed = false

  constructor(deps: ElsewhereDeps) {
    this.#deps = deps
    this.#key = `{${deps.redis.prefix}:troubles}`
  }

  /** Rounds go on until `close`. */
  start(): void {
    void this.round().then(() => {
      if (!this.#closed) this.#stop = this.#deps.after(ROUND_MS, () => this.start())
    })
  }

  close(): void {
    this.#closed = true
    this.#stop()
  }

  /** Tells what is out of order here and hears of the others. Never rejects. */
  async round(): Promise<void> {
    const { redis, gateway, services, now } = this.#deps
    const text = JSON.stringify({ troubles: troublesOf(services()).slice(0, MAX_TROUBLES) })
    let answer: unknown
    try {
      answer = await redis.run(SHARE_TROUBLES, [this.#key], [gateway, text, FORGOTTEN_MS])
    } catch {
      // The connection has told why; what was heard fades.
      return
    }
    const at = now()
    const heard: Heard[] = []
    const parts = Array.isArray(answer) ? answer : []
    for (let i = 0; i + 1 < parts.length; i += 2) {
      const troubles = parseTold(String(parts[i + 1]))
      if (troubles !== undefined) heard.push({ toldAt: at - Number(parts[i]), troubles })
    }
    this.#heard = heard
  }

  view(): ElsewhereView {
    const oldest = this.#deps.now() - FORGOTTEN_MS
    const fresh = this.#heard.filter(({ toldAt }) => toldAt > oldest)
    const counts = new Map<string, OwnTrouble & { gateways: number }>()
    for (const { troubles } of fresh)
      for (const trouble of troubles) {
        const key = `${trouble.service}\n${trouble.instance}\n${trouble.state}`
        const known = counts.get(key)
        if (known === undefined) counts.set(key, { ...trouble, gateways: 1 })
        else known.gateways++
      }
    const services = new Map<string, Trouble[]>()
    for (const { service, ...trouble } of counts.values()) {
      const all = services.get(service) ?? []
      services.set(service, all)
      all.push(trouble)
    }
    return { gateways: fresh.length, services }
  }
}

/** Each service with what others see of it; `undefined`: there is nobody to hear of. */
export function withElsewhere(services: readonly ServiceView[], elsewhere: Elsewhere | undefined): object[] {
  const view = elsewhere?.view()
  if (view === undefined) return [...services]
  return services.map((service) => ({
    ...service,
    elsewhere: { gateways: view.gateways, troubles: view.services.get(service.name) ?? [] },
  }))
}

function parseTold(text: string): readonly OwnTrouble[] | undefined {
  if (text.length > MAX_TEXT) return undefined
  const value = parseJsonObject(encoder.encode(text), 4)
  if (value === undefined || !told().Check(value)) return undefined
  // One voice each, also for who says a thing twice.
  return [...new Map(value.troubles.map((each) => [JSON.stringify(each), each])).values()]
}

function troublesOf(services: readonly ServiceView[]): OwnTrouble[] {
  const found: OwnTrouble[] = []
  for (const { name: service, breaker, instances } of services) {
    if (breaker?.state === "open") found.push({ service, instance: "", state: "circuit_open" })
    if (breaker?.state === "half_open") found.push({ service, instance: "", state: "circuit_half_open" })
    for (const { url: instance, healthy, draining, ejectedForMs } of instances) {
      if (draining) found.push({ service, instance, state: "draining" })
      if (!healthy) found.push({ service, instance, state: "unhealthy" })
      if (ejectedForMs > 0) found.push({ service, instance, state: "ejected" })
    }
  }
  return found
}
