import type { Socket } from "bun"

/** Stands between clients and a Redis, and does to their connections what networks and Redis do at times. */
export interface RedisProxy {
  readonly url: string
  /** `pass`: nothing; `reset`: what is asked next is passed on and the connection reset before the answer;
   * `loading`: everything is answered as by a Redis that reads its data. */
  mode: "pass" | "reset" | "loading"
  close(): void
}

interface Ends {
  readonly upstream: Promise<Socket<undefined>>
}

const LOADING = "-LOADING Redis is loading the dataset in memory\r\n"

export function openRedisProxy(port: number): RedisProxy {
  const server = Bun.listen<Ends>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(client) {
        const upstream = Bun.connect({
          hostname: "127.0.0.1",
          port,
          socket: {
            data: (_, chunk) => void (proxy.mode === "pass" && client.write(chunk)),
            close: () => void client.end(),
          },
        })
        client.data = { upstream }
      },
      async data(client, chunk) {
        // A copy: the buffer is used again.
        const bytes = Uint8Array.from(chunk)
        if (proxy.mode === "loading") {
          const asked = new TextDecoder().decode(bytes).match(/(?:^|\r\n)\*\d+\r\n/g)?.length ?? 0
          client.write(LOADING.repeat(asked))
          return
        }
        const resets = proxy.mode === "reset"
        const upstream = await client.data.upstream
        upstream.write(bytes)
        if (!resets) return
        client.terminate()
      },
      close: async (client) => void (await client.data.upstream).end(),
    },
  })
  const proxy: RedisProxy = {
    url: `redis://127.0.0.1:${server.port}`,
    mode: "pass",
    close: () => server.stop(true),
  }
  return proxy
}
