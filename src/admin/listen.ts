export interface AdminPort {
  readonly port: number
  /** Stops listening and cuts what is under way: nothing an operator asks may hold up the end. */
  close(): Promise<void>
}

const MAX_BODY_BYTES = 64 * 1024
const IDLE_TIMEOUT_S = 30

/** Opens the operators' port; `client`: address of the peer. Throws when it is taken. */
export function openAdmin(
  answer: (request: Request, client: string) => Promise<Response>,
  hostname: string,
  port: number,
): AdminPort {
  const server = Bun.serve({
    hostname,
    port,
    // A new process can start while this one drains.
    reusePort: true,
    development: false,
    maxRequestBodySize: MAX_BODY_BYTES,
    idleTimeout: IDLE_TIMEOUT_S,
    fetch: (request, asking) => answer(request, asking.requestIP(request)?.address ?? ""),
  })
  return { port: server.port!, close: () => server.stop(true) }
}
