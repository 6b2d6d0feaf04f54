import { expect, test } from "bun:test"
import {
  type CommandName,
  type Commands,
  type ErrorBody,
  IDEMPOTENCY_MS,
  MAX_PUBLICATIONS,
  mayReconnect,
  type Push,
  type Results,
} from "../../src/client/wire.ts"
import { IDEMPOTENCY_MS as STORE_IDEMPOTENCY_MS } from "../../src/realtime/channels/channel_store.ts"
import * as protocol from "../../src/realtime/channels/protocol.ts"

/** Compiles only when both can stand for each other. */
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never
/** Without what only says that a property is not written to. */
type Plain<T> = T extends object ? { -readonly [K in keyof T]: Plain<T[K]> } : T
type Sent<N extends protocol.CommandName> = Omit<protocol.CommandOf<N>, "id" | "type">

test("the client knows every command, result, push and error of the protocol, field by field", () => {
  const commands: { [N in protocol.CommandName]: Same<Plain<Commands[N]>, Plain<Sent<N>>> } = {
    connect: true,
    subscribe: true,
    unsubscribe: true,
    publish: true,
    history: true,
    presence: true,
    rpc: true,
    ack: true,
    refresh: true,
    ping: true,
  }
  const results: { [N in protocol.CommandName]: Same<Plain<Results[N]>, Plain<protocol.ResultOf<N>>> } = {
    ...commands,
  }
  const names: Same<CommandName, protocol.CommandName> = true
  const pushes: Same<Plain<Push>, Plain<protocol.Push>> = true
  const errors: Same<ErrorBody, protocol.ErrorBody> = true
  expect(Object.keys(results).sort()).toEqual(Object.keys(protocol.COMMANDS).sort())
  expect([names, pushes, errors]).toEqual([true, true, true])
})

test("the client's numbers and close codes are those of the gateway", () => {
  expect(MAX_PUBLICATIONS).toBe(protocol.MAX_PUBLICATIONS)
  expect(IDEMPOTENCY_MS).toBe(STORE_IDEMPOTENCY_MS)
  for (const code of [1000, 1001, 1006, 1012, 4000, 4499, 4500, 4503, 4999, 5000])
    expect(`${code} ${mayReconnect(code)}`).toBe(`${code} ${protocol.mayReconnect(code)}`)
})
