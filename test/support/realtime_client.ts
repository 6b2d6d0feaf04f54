import type { Push, PushName, PushOf } from "../../src/realtime/channels/protocol.ts"
import { until } from "./until.ts"
import { openWs } from "./ws_client.ts"

interface AnyReply {
  readonly id: number
  // biome-ignore lint/suspicious/noExplicitAny: each test knows what it asked for.
  readonly result?: any
  readonly error?: { readonly code: string; readonly message: string; readonly temporary: boolean }
}

/** A client of the realtime endpoint that keeps all it is told. */
export async function openRealtime(url: string, headers: Record<string, string> = {}) {
  const seen = await openWs(url, { headers })
  const replies = new Map<number, AnyReply[]>()
  const pushes: Push[] = []
  let read = 0
  let ids = 0
  const look = (): void => {
    for (; read < seen.messages.length; read++) {
      const message = JSON.parse(String(seen.messages[read])) as AnyReply | Push
      if ("push" in message) pushes.push(message)
      else replies.set(message.id, [...(replies.get(message.id) ?? []), message])
    }
  }
  const raw = (frame: string | Uint8Array): void => void seen.socket.send(frame)
  return {
    seen,
    raw,
    /** All pushes so far, in order. */
    pushes: (): readonly Push[] => {
      look()
      return pushes
    },
    of<N extends PushName>(name: N): readonly PushOf<N>[] {
      look()
      return pushes.filter((each): each is PushOf<N> & Push => each.push === name)
    },
    /** Sends a command and waits for its reply. */
    async ask(command: Record<string, unknown>): Promise<AnyReply> {
      const id = ++ids
      raw(JSON.stringify({ id, ...command }))
      return this.reply(id)
    },
    async reply(id: number): Promise<AnyReply> {
      await until(
        () => {
          look()
          return replies.has(id) || seen.closed !== undefined
        },
        `a reply to ${id}`,
        5000,
      )
      const [reply, ...others] = replies.get(id) ?? []
      if (reply === undefined) throw new Error(`closed with ${seen.closed?.code} before a reply`)
      replies.set(id, others)
      if (others.length === 0) replies.delete(id)
      return reply
    },
    async closed(): Promise<number> {
      await until(() => seen.closed !== undefined, "the close", 10_000)
      return seen.closed!.code
    },
    close: () => seen.socket.close(),
    terminate: () => seen.socket.terminate(),
  }
}

export type RealtimeClient = Awaited<ReturnType<typeof openRealtime>>
