import type { RegisterOutcome } from "../../gateway/registry_keeper.ts"
import type { RegistryNews, RegistryQuestion } from "../../gateway/registry_news.ts"
import type { Actor } from "../../identity/accounts.ts"
import type { Failure } from "../../policies/failure.ts"
import type { Registered, Registration } from "../../upstream/discovery/registration.ts"

/** The registry as the control plane keeps it. */
export interface RegistryCore {
  instances(): Iterable<Registered>
  /** `client`: address of the caller. */
  register(request: Registration, client: string): RegisterOutcome
  /** All three: `undefined` when nobody knows it. */
  heartbeat(service: string, id: string): Promise<Registered | undefined>
  deregister(service: string, id: string): Promise<Registered | undefined>
  drainInstance(service: string, id: string, draining: boolean): Promise<Registered | undefined>
  ask(question: RegistryQuestion): Promise<RegistryNews | undefined>
}

/** How an instance is, as far as this gateway sends requests to it. */
export interface InstanceHealth {
  readonly healthy: boolean
  /** Requests it works on for this gateway. */
  readonly inFlight: number
}

/** `undefined`: it gets no requests here, as no service of the config in force has it. */
export type HealthOf = (service: string, url: string) => InstanceHealth | undefined

/** What tells the port of operators and that of clients apart. */
export interface RegistryPort {
  /** The registration of a body, or what is wrong with it. */
  read(request: Request): Promise<{ readonly kind: "body"; readonly body: Registration } | Failure>
  ok(body: object, status?: number): Response
  refuse(request: Request, failure: Failure): Response
  /** Services whoever asks may see and change; "*" among them: all. Or why there are none. */
  services(request: Request): readonly string[] | Failure
  /** Who asks, for records. */
  actor(request: Request): Actor
}
