import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { parse } from "yaml"
import { DEFAULT_WAIT_S, MAX_WAIT_S } from "../../src/admin/realtime/long_poll.ts"
import { MAX_CHANNELS } from "../../src/admin/realtime/reading.ts"
import {
  CLOSE_CODES,
  COMMANDS,
  ERRORS,
  PUSHES,
  RESULTS,
  SUBPROTOCOLS,
} from "../../src/realtime/channels/protocol.ts"

interface Channel {
  readonly address: string
  readonly description: string
  readonly messages: Record<string, { readonly $ref: string }>
}

interface Document {
  readonly info: { readonly description: string }
  readonly channels: Record<"realtime" | "events" | "poll", Channel>
  readonly operations: Record<string, unknown>
  readonly components: {
    readonly messages: Record<string, unknown>
    readonly schemas: Record<string, { readonly properties: Record<string, { readonly enum?: unknown }> }>
  }
}

const text = readFileSync(join(import.meta.dir, "../../docs/asyncapi.yaml"), "utf8")
const document = parse(text) as Document
const { messages, schemas } = document.components
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
const pushName = (name: string) => `push${name[0]!.toUpperCase()}${name.slice(1)}`

test("docs/asyncapi.yaml has every command, result and push, with the schema that is checked", () => {
  const wanted: Record<string, unknown> = {}
  for (const [name, schema] of Object.entries(COMMANDS)) wanted[name] = plain(schema)
  for (const [name, schema] of Object.entries(RESULTS)) wanted[`${name}Result`] = plain(schema)
  for (const [name, schema] of Object.entries(PUSHES)) wanted[pushName(name)] = plain(schema)
  const { error, ...others } = schemas
  expect(others as Record<string, unknown>).toEqual(wanted)
  expect(error?.properties.code?.enum).toEqual(Object.keys(ERRORS))
})

test("docs/asyncapi.yaml has an operation for every command and push, and no reference leads nowhere", () => {
  const names = [...Object.keys(COMMANDS), ...Object.keys(PUSHES).map(pushName)]
  expect(Object.keys(document.operations).sort()).toEqual(names.sort())
  const inChannel = Object.keys(document.channels.realtime.messages)
  expect(inChannel.sort()).toEqual(Object.keys(messages).sort())
  for (const [, reference] of text.matchAll(/\$ref: "?#\/([^"\n]+)/g)) {
    let at: unknown = document
    for (const step of reference!.split("/")) at = (at as Record<string, unknown> | undefined)?.[step]
    expect([reference, at === undefined]).toEqual([reference, false])
  }
})

test("docs/asyncapi.yaml names the subprotocols", () => {
  for (const name of Object.values(SUBPROTOCOLS)) expect(document.info.description).toContain(`\`${name}\``)
})

test("docs/asyncapi.yaml has the ways to read without WebSocket, with their bounds", () => {
  const { realtime, events, poll } = document.channels
  expect(events.address).toBe(`${realtime.address}/sse`)
  expect(poll.address).toBe(`${realtime.address}/poll`)
  for (const { description, messages: own } of [events, poll]) {
    expect(description).toContain(`up to ${MAX_CHANNELS} parameters`)
    for (const { $ref } of Object.values(own))
      expect(Object.keys(messages)).toContain($ref.split("/").at(-1)!)
  }
  expect(poll.description).toContain(`(${DEFAULT_WAIT_S} s; 0 to ${MAX_WAIT_S})`)
})

test("docs/asyncapi.yaml names every close code with its meaning", () => {
  for (const [code, meaning] of Object.entries(CLOSE_CODES))
    expect(document.info.description).toContain(`- ${code}: ${meaning}`)
})
