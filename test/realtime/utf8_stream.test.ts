import { expect, test } from "bun:test"
import { checkText, NOT_UTF8, TEXT_START, turnKey } from "../../src/realtime/utf8_stream.ts"
import { Dice } from "../support/request_streams.ts"

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 3000)
const SEED = Number(process.env.FUZZ_SEED ?? 23)

/** "whole", "open" (a character is cut off) or "broken", as the language's decoder sees it. */
function decoded(bytes: Buffer): string {
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true })
    decoder.decode(bytes, { stream: true })
    try {
      decoder.decode()
      return "whole"
    } catch {
      // How a decoder says that more must come.
      return "open"
    }
  } catch {
    // How a decoder says no.
    return "broken"
  }
}

/** The same as it is checked in pieces that end at these places, masked by `key`. */
function checked(text: Buffer, cuts: readonly number[], key: number): string {
  const masked = Buffer.from(text)
  for (let i = 0; i < masked.length; i++) masked[i]! ^= (key >>> ((i & 3) * 8)) & 0xff
  let state: number = TEXT_START
  let at = 0
  for (const cut of [...cuts, text.length]) {
    if (state !== NOT_UTF8) state = checkText(masked, at, cut, turnKey(key, at), state)
    at = cut
  }
  return state === NOT_UTF8 ? "broken" : state === TEXT_START ? "whole" : "open"
}

const SAMPLES = [
  "plain",
  "µ@ßöäüàá",
  "κόσμε",
  "hello𤭢world",
  "c0af",
  "e0a0",
  "e080",
  "eda080",
  "ed9f",
  "f48fbf",
  "f490",
  "f08f",
  "f5",
  "80",
  "efbf",
].map((each) => (/^[0-9a-f]+$/.test(each) ? Buffer.from(each, "hex") : Buffer.from(each)))

test("text is judged as by a decoder, wherever it is cut and however it is masked", () => {
  for (const sample of SAMPLES)
    for (const key of [0, 0x3d21fa37, -1])
      for (let first = 0; first <= sample.length; first++)
        for (let second = first; second <= sample.length; second++)
          expect(checked(sample, [first, second], key)).toBe(decoded(sample))
})

test(`random text is judged as by a decoder (seed ${SEED})`, () => {
  const dice = new Dice(SEED)
  for (let round = 0; round < ROUNDS; round++) {
    const parts = Array.from({ length: dice.next(6) }, () => SAMPLES[dice.next(dice.next(4) > 0 ? 4 : 15)]!)
    const text = Buffer.concat(parts)
    if (dice.next(4) === 0 && text.length > 0) text[dice.next(text.length)] = dice.next(256)
    const cuts = [dice.next(text.length + 1), dice.next(text.length + 1)].toSorted((a, b) => a - b)
    expect([text.toString("hex"), checked(text, cuts, dice.next(2 ** 31))]).toEqual([
      text.toString("hex"),
      decoded(text),
    ])
  }
})

test("long text is judged in pieces, with a character across each border", () => {
  for (const shift of [0, 1, 2, 3]) {
    const long = Buffer.concat([Buffer.alloc(shift, "a"), Buffer.from("😀".repeat(40_000))])
    expect(checked(long, [70_001], 0x01020304)).toBe("whole")
    long[131_072 + shift] = 0xff
    expect(checked(long, [70_001], 0x01020304)).toBe("broken")
  }
})
