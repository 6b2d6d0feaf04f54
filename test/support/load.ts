/** What came of the requests so far. */
export interface Load {
  /** Answers by status. */
  readonly statuses: Map<number, number>
  /** Requests that got no answer. */
  readonly failures: string[]
  readonly total: () => number
  /** Lets the requests under way end. */
  stop(): Promise<void>
}

/** Keeps `clients` requests under way to a URL, each on a connection it keeps as long as the server does. */
export function startLoad(url: string, clients: number, init: RequestInit = {}): Load {
  const statuses = new Map<number, number>()
  const failures: string[] = []
  let total = 0
  let running = true
  const client = async (): Promise<void> => {
    while (running) {
      total++
      try {
        const response = await fetch(url, init)
        await response.text()
        statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1)
      } catch (error) {
        failures.push(String(error))
      }
    }
  }
  const all = Array.from({ length: clients }, client)
  return {
    statuses,
    failures,
    total: () => total,
    async stop() {
      running = false
      await Promise.all(all)
    },
  }
}
