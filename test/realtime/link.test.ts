import { expect, test } from "bun:test"
import type { ChannelAnswer, ChannelQuestion } from "../../src/realtime/channels/hub_messages.ts"
import { Link, UNAVAILABLE } from "../../src/realtime/channels/link.ts"

const members = (channel: string) => ({ do: "members", channel, limit: 1 }) as const
const close = (client: string) => ({ do: "close", client, code: 1000 }) as const

/** A link whose questions are kept; each is answered as `answer` says. */
function createLink(answer: (question: ChannelQuestion) => ChannelAnswer | undefined) {
  const asked: ChannelQuestion[] = []
  const link = new Link(3, async (question) => {
    asked.push(question)
    return answer(question)
  })
  return { link, asked }
}

const fine = ({ commands }: ChannelQuestion): ChannelAnswer => ({
  kind: "channels",
  answers: commands.map((command) => ({
    ok: true,
    value: "channel" in command ? [{ client: command.channel }] : undefined,
  })),
})

test("what is asked in one turn goes as one question, in order, and each gets its own answer", async () => {
  const { link, asked } = createLink(fine)
  const answers = await Promise.all(["a:1", "a:2", "a:3"].map((channel) => link.ask(members(channel))))
  expect(asked).toEqual([{ kind: "channels", worker: 3, commands: ["a:1", "a:2", "a:3"].map(members) }])
  expect(answers).toEqual(["a:1", "a:2", "a:3"].map((client) => [{ client }]))
})

test("acknowledgements, which are answered when they are written, are asked for by themselves", async () => {
  const { link, asked } = createLink(fine)
  const ack = { do: "ack", channel: "a:1", subscriber: "ann", position: { epoch: "e", offset: 1 } } as const
  await Promise.all([link.ask(members("a:1")), link.ask(ack), link.ask(members("a:2"))])
  expect(asked.map(({ commands }) => commands)).toEqual([[ack], [members("a:1"), members("a:2")]])
})

test("without an answer, or with a refusal, nothing is waited for", async () => {
  expect(await createLink(() => undefined).link.ask(members("a:1"))).toBe(UNAVAILABLE)
  const refusing = createLink(() => ({ kind: "channels", answers: [{ ok: false }] }))
  expect(await refusing.link.ask(members("a:1"))).toBe(UNAVAILABLE)
})

test("the end of a connection is told until the hub has heard of it, and nothing else is told twice", async () => {
  let away = true
  const { link, asked } = createLink((question) => (away ? undefined : fine(question)))
  await Promise.all([link.ask(close("c1")), link.ask(members("a:1"))])
  away = false
  link.tick()
  link.tick()
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  expect(asked.map(({ commands }) => commands)).toEqual([[close("c1"), members("a:1")], [close("c1")]])
})

test("commands under way are bounded; beyond, the answer is at once that there is none", async () => {
  const never = new Link(0, () => new Promise(() => {}))
  for (let i = 0; i < 20_000; i++) void never.ask(members("a:1"))
  expect(await never.ask(members("a:1"))).toBe(UNAVAILABLE)
})
