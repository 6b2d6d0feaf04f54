/** What of a WebSocket the client uses; browsers, Bun, Node 22 and the package `ws` have it. */
export interface WebSocketLike {
  readonly readyState: number
  send(text: string): void
  close(code?: number, reason?: string): void
  // biome-ignore lint/suspicious/noExplicitAny: the events of DOM, Bun and ws have no type in common
  addEventListener(type: "open" | "message" | "close" | "error", listener: (event: any) => void): void
}
export type WebSocketConstructor = new (url: string) => WebSocketLike

/** What the client has from the machine it runs on. */
export interface Environment {
  readonly WebSocket: WebSocketConstructor
  /** Ms on a clock that never goes back. */
  readonly now: () => number
  /** Runs once after `ms`; what it returns takes it back. */
  readonly after: (ms: number, run: () => void) => () => void
  /** 0 up to 1. */
  readonly random: () => number
  /** A word nobody has used before: up to 64 of `A-Za-z0-9_.-`. */
  readonly newId: () => string
}

/** That of this machine. Throws where there is no `WebSocket` and none is given (Node before 22). */
export function environment(given: Partial<Environment> = {}): Environment {
  const WebSocket = given.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket
  if (WebSocket === undefined)
    throw new Error("connecting: there is no global WebSocket; give one, such as that of the package ws")
  return { ...HERE, ...given, WebSocket }
}

const HERE: Omit<Environment, "WebSocket"> = {
  now: () => performance.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
  random: Math.random,
  newId: () => {
    // randomUUID is not there on pages that came by plain http.
    const bytes = crypto.getRandomValues(new Uint8Array(16))
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")
  },
}

/** How long to wait before another try. */
export interface Backoff {
  /** Ms; the most the first wait can be. It doubles with each. */
  readonly baseMs: number
  readonly maxMs: number
}

/**
 * Full jitter: anything from 0 up to the bound, so that clients that lost the same gateway do not return as one.
 * `attempt` counts from 0.
 */
export function backoffMs({ baseMs, maxMs }: Backoff, attempt: number, random: () => number): number {
  return random() * Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 30))
}
