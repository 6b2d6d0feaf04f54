import { expect, test } from "bun:test"
import type { SurveyEvent } from "../../src/realtime/channels/hub_messages.ts"
import { Survey } from "../../src/realtime/channels/survey.ts"

function createSurvey() {
  let time = 0
  const sent: { worker: number; event: SurveyEvent }[] = []
  const survey = new Survey(
    () => time,
    (worker, event) => sent.push({ worker, event }),
  )
  return { survey, sent, pass: (ms: number) => void (time += ms) }
}

const query = { after: "", prefix: "", limit: 2 }
const counts = (...names: readonly string[]) => names.map((channel) => ({ channel, subscribers: 1 }))

test("the first channels of all workers come together, with the subscribers of each", async () => {
  const { survey, sent } = createSurvey()
  const asked = survey.ask([0, 1], query)!
  expect(sent.map(({ worker }) => worker)).toEqual([0, 1])
  const { id } = sent[0]!.event
  survey.answered(0, id, counts("a", "c"))
  survey.answered(0, id, counts("a", "b"))
  survey.answered(1, id, counts("b", "c"))
  expect(await asked).toEqual(counts("a", "b"))
})

test("a worker that has died or does not answer is left out", async () => {
  const { survey, sent, pass } = createSurvey()
  const dies = survey.ask([0, 1], query)!
  survey.answered(0, sent[0]!.event.id, counts("a"))
  survey.lostWorker(1)
  expect(await dies).toEqual(counts("a"))
  const silent = survey.ask([0, 1], query)!
  survey.answered(0, sent[2]!.event.id, counts("b"))
  pass(2000)
  survey.tick()
  expect(await silent).toEqual(counts("b"))
  expect(await survey.ask([], query)).toEqual([])
})

test("too many surveys at once are refused", () => {
  const { survey } = createSurvey()
  for (let n = 0; n < 16; n++) expect(survey.ask([0], query)).toBeDefined()
  expect(survey.ask([0], query)).toBeUndefined()
  survey.lostWorker(0)
  expect(survey.ask([0], query)).toBeDefined()
})
