import type { Clock } from "../lib/clock.ts"
import type { Log } from "../observe/log.ts"
import type { Redis } from "../store/redis.ts"
import { SYNC_REGISTRY } from "../store/registry_script.ts"
import { parseShared, type Registered, toShared } from "../upstream/discovery/registration.ts"
import { type ExpiryRule, MAX_REGISTERED, type Registry } from "../upstream/discovery/registry.ts"
import type { After } from "./supervisor.ts"

export interface RegistrySyncDeps {
  readonly redis: Pick<Redis, "run" | "prefix">
  readonly registry: Registry
  /** By what the others tell this gateway apart: letters and digits, another one at each start. */
  readonly gateway: string
  readonly now: Clock
  readonly after: After
  readonly log: Log
}

/** Pause between rounds, and after something happened that others should know soon. */
const ROUND_MS = 250
const SOON_MS = 20
/** Without a round for so long, Redis counts as away. */
const AWAY_MS = 2000
/** Things told in one round. */
const BATCH = 500
/** Instances there may be something to tell of; beyond, what left longest ago is forgotten: its TTL will end. */
const MAX_PENDING = 2 * MAX_REGISTERED

/** What is to be told of one instance, in this order. */
interface Pending {
  left: boolean
  put: { readonly what: "P" | "R"; readonly instance: Registered } | undefined
  beat: boolean
  draining: boolean | undefined
}

/**
 * Shares the registry with other gateways by Redis: in each round it tells what happened here and is told what has
 * changed. Redis decides when a TTL has ended. While it is away this gateway goes on with what it knows; what
 * happens is told when it is back, what is alive here and not known there any more too.
 */
export class RegistrySync {
  readonly #deps: RegistrySyncDeps
  readonly #keys: readonly string[]
  /** By id; the oldest first. */
  readonly #pending = new Map<string, Pending>()
  #epoch = ""
  #revision = 0
  #doneAt = Number.NEGATIVE_INFINITY
  #round: Promise<void> | undefined
  #stop = (): void => {}
  #soon = false
  #closed = false
  #warned = false

  constructor(deps: RegistrySyncDeps) {
    this.#deps = deps
    const tag = `{${deps.redis.prefix}:registry}`
    this.#keys = ["meta", "instances", "ends", "changes", "gone"].map((name) => `${tag}:${name}`)
  }

  /** Resolves after the first round; rounds go on until `close`. */
  start(): Promise<void> {
    return this.round()
  }

  /** Who decides that a TTL has ended. */
  get rule(): ExpiryRule {
    return this.#deps.now() - this.#doneAt <= AWAY_MS ? "shared" : "cut_off"
  }

  registered(instance: Registered): void {
    const pending = this.#of(instance.id)
    pending.put = { what: "P", instance }
    this.#hurry()
  }

  beat({ id }: Registered): void {
    this.#of(id).beat = true
  }

  left({ id }: Registered): void {
    const pending = this.#of(id)
    pending.left = true
    pending.put = undefined
    pending.beat = false
    pending.draining = undefined
    this.#hurry()
  }

  drained({ id, draining }: Registered): void {
    this.#of(id).draining = draining
    this.#hurry()
  }

  /** Their TTL ended while Redis was away. It may know better: all it knows is taken anew. */
  expired(instances: readonly Registered[]): void {
    for (const { id } of instances) this.#pending.delete(id)
    this.#revision = -1
  }

  /** A round, or the one under way. Never rejects. */
  round(): Promise<void> {
    this.#stop()
    this.#soon = false
    this.#round ??= this.#exchange().then((more) => {
      this.#round = undefined
      if (!this.#closed) this.#stop = this.#deps.after(more ? 0 : ROUND_MS, () => void this.round())
    })
    return this.#round
  }

  /** Tells the last. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true
    this.#stop()
    await this.#round
    if (this.#pending.size > 0) await this.#exchange()
  }

  #of(id: string): Pending {
    let pending = this.#pending.get(id)
    if (pending === undefined) {
      if (this.#pending.size >= MAX_PENDING) this.#pending.delete(this.#pending.keys().next().value!)
      pending = { left: false, put: undefined, beat: false, draining: undefined }
      this.#pending.set(id, pending)
    }
    return pending
  }

  #hurry(): void {
    if (this.#soon || this.#closed || this.#round !== undefined) return
    this.#soon = true
    this.#stop()
    this.#stop = this.#deps.after(SOON_MS, () => void this.round())
  }

  /** `true`: there is more to tell at once. */
  async #exchange(): Promise<boolean> {
    const { redis, gateway, now } = this.#deps
    const at = now()
    const told = [...this.#pending].slice(0, BATCH)
    for (const [id] of told) this.#pending.delete(id)
    const args: (string | number)[] = [gateway, newEpoch(gateway, at), this.#epoch, this.#revision]
    for (const [id, pending] of told) this.#write(args, id, pending)
    let answer: unknown
    try {
      answer = await redis.run(SYNC_REGISTRY, this.#keys, args)
    } catch {
      // The connection has told why. It may have been done: to tell it twice changes nothing.
      this.#putBack(told)
      return false
    }
    this.#doneAt = now()
    this.#merge(answer)
    return this.#pending.size >= BATCH
  }

  #write(args: (string | number)[], id: string, { left, put, beat, draining }: Pending): void {
    const add = (what: string, text: string, ttlMs: number) => args.push(what, id, text, ttlMs)
    if (left) add("L", "", 0)
    const known = this.#deps.registry.findById(id)
    // Its TTL may have ended in the meantime where nobody could tell of heartbeats.
    const again = beat && this.rule === "cut_off" && known !== undefined
    if (put?.what === "P") add("P", toShared(put.instance), put.instance.ttlMs)
    else if (put !== undefined || again) {
      const instance = known ?? put!.instance
      add("R", (instance.draining ? "1" : "0") + toShared(instance), instance.ttlMs)
    } else if (beat && known !== undefined) add("H", "", known.ttlMs)
    if (draining !== undefined) add(draining ? "1" : "0", "", 0)
  }

  /** What has happened since counts. */
  #putBack(told: readonly (readonly [string, Pending])[]): void {
    const since = new Map(this.#pending)
    this.#pending.clear()
    for (const [id, before] of told) {
      const after = since.get(id)
      since.delete(id)
      if (after === undefined || after.left) {
        this.#pending.set(id, after ?? before)
        continue
      }
      this.#pending.set(id, {
        left: before.left,
        put: after.put ?? before.put,
        beat: after.beat || before.beat,
        draining: after.draining ?? before.draining,
      })
    }
    for (const [id, pending] of since) this.#pending.set(id, pending)
  }

  #merge(answer: unknown): void {
    if (!Array.isArray(answer)) return
    const [epoch, revision, all, ...entries] = answer as unknown[]
    const lost = this.#epoch !== "" && (epoch !== this.#epoch || Number(revision) < this.#revision)
    const { registry } = this.#deps
    let behind = false
    registry.hold(() => {
      const listed = new Set<string>()
      for (let i = 0; i + 1 < entries.length; i += 2) {
        const id = String(entries[i])
        listed.add(id)
        // What happened here is told next and counts; until then the rest of the change has to wait.
        if (this.#hasSaid(id)) behind = true
        else this.#take(id, String(entries[i + 1]))
      }
      if (all === 1) {
        for (const instance of [...registry.instances()]) {
          if (listed.has(instance.id) || this.#hasSaid(instance.id)) continue
          // Redis has lost what it knew, or this gateway was cut off for long.
          if (lost || registry.isAlive(instance)) this.#restore(instance)
          else registry.drop(instance, "deregistered")
        }
      }
    })
    if (behind && all !== 1) return
    this.#epoch = String(epoch)
    this.#revision = behind ? -1 : Number(revision)
  }

  #hasSaid(id: string): boolean {
    const pending = this.#pending.get(id)
    return (
      pending !== undefined && (pending.left || pending.put !== undefined || pending.draining !== undefined)
    )
  }

  #restore(instance: Registered): void {
    this.#of(instance.id).put ??= { what: "R", instance }
  }

  #take(id: string, entry: string): void {
    const { registry, gateway, log } = this.#deps
    const known = registry.findById(id)
    if (entry === "L" || entry === "E") {
      if (known === undefined) return
      if (entry === "E" && registry.isAlive(known)) this.#restore(known)
      else registry.drop(known, entry === "E" ? "expired" : "deregistered")
      return
    }
    const space = entry.indexOf(" ")
    const draining = entry.startsWith("1")
    const instance = space < 2 ? undefined : parseShared(id, entry.slice(space + 1), draining)
    if (instance !== undefined) {
      registry.take(instance, entry.slice(1, space) === gateway)
      return
    }
    // Once: it may be there in thousands.
    if (!this.#warned) log.error("registry.unread", { instance: id.slice(0, 32) })
    this.#warned = true
  }
}

/** Only the first gateway at an empty Redis has its own taken. */
const newEpoch = (gateway: string, at: number): string => `${gateway}${Math.floor(at).toString(36)}`
