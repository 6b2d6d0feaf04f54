import { expect, test } from "bun:test"
import { isPhrase, PhraseFinder } from "../../src/lib/phrase_finder.ts"

/** What is found, as texts of the original. */
function found(phrases: readonly string[], text: string): string[] {
  const places: string[] = []
  new PhraseFinder(phrases).find(text, (phrase, start, end) =>
    places.push(`${phrase}:${text.slice(start, end)}`),
  )
  return places
}

test("[T-3.4] case, accents, width, composed forms, invisible characters and apostrophes make no difference", () => {
  const same = [
    "Kill MYSELF",
    "kill   \n myself",
    "ｋｉｌｌ ｍｙｓｅｌｆ",
    "ki\u200bll my\u00adself",
    "kíll mýself",
  ]
  for (const text of [...same, "kill, myself", "k\u0301ill my'self"])
    expect([text, found(["kill myself"], `I ${text}!`).length]).toEqual([text, 1])
  expect(found(["straße"], "STRASSE")).toEqual(["0:STRASSE"])
  expect(found(["café"], "cafe\u0301")).toHaveLength(1)
  expect(found(["ΣΊΣΥΦΟΣ"], "σίσυφος")).toHaveLength(1)
  expect(found(["don’t"], "I dont")).toEqual(["0:dont"])
})

test("[T-3.4] words are found whole, beginnings with a star, and anywhere in scripts without spaces", () => {
  expect(found(["ass"], "class assembly ass")).toEqual(["0:ass"])
  expect(found(["kill*"], "he was killing skills")).toEqual(["0:kill"])
  expect(found(["自殺"], "私は自殺したい")).toEqual(["0:自殺"])
  expect(found(["🔪"], "a🔪b")).toEqual(["0:🔪"])
  expect(found(["a b", "b", "a b c", "b"], "A B C")).toEqual(["0:A B", "1:B", "3:B", "2:A B C"])
})

test("[T-3.4] combining marks, control characters and blanks that are no spaces hide no phrase", () => {
  for (const text of ["k\u0489i\u20ddll myself", "k\u1ab0ill\u1dc4 myself", "k\ufe20ill myself"])
    expect([text, found(["kill myself"], text).length]).toEqual([text, 1])
  for (const text of ["k\u0001il\u0000l myself", "kill\u2800myself", "ki\ufff9ll myself", "kill\u0085myself"])
    expect([text, found(["kill myself"], text).length]).toEqual([text, 1])
  expect(found(["555"], "5\ufe0f\u20e35\ufe0f\u20e35\ufe0f\u20e3")).toHaveLength(1)
  // A voiced sound is another letter, and no accent.
  expect(found(["かき"], "がき")).toEqual([])
})

test("[T-3.4] emoji and signs between words make no difference, but to phrases that hold some", () => {
  for (const text of ["kill 🔪 myself", "kill🔪myself", "kill|myself", "kill + myself", "kill~=~myself"])
    expect([text, found(["kill myself"], text).length]).toEqual([text, 1])
  expect(found(["c++", "c", "🔪"], "c++ or c🔪")).toEqual(["0:c++", "2:🔪", "1:c", "1:c"])
  expect(found(["a$$"], "a$$, as")).toEqual(["0:a$$"])
})

test("a phrase of punctuation alone is none", () => {
  for (const phrase of ["...", " ", "'", "\u200b", "*", "\u0301"]) {
    expect(isPhrase(phrase)).toBe(false)
    expect(found([phrase], "a ... ' b")).toEqual([])
  }
  expect(["a", "🔪", "自"].every(isPhrase)).toBe(true)
})

test("all phrases at once find what each finds by itself, in random texts", () => {
  let seed = 7
  const pick = (n: number) => (seed = (seed * 48_271) % 2_147_483_647) % n
  const word = () => Array.from({ length: 1 + pick(3) }, () => "ab"[pick(2)]).join("")
  const words = (n: number) => Array.from({ length: n }, word).join(" ")
  for (let round = 0; round < 200; round++) {
    const phrases = Array.from({ length: 5 }, () => words(1 + pick(3)) + ["", "*"][pick(2)])
    const text = words(20)
    const together = found(phrases, text).sort()
    const apart = phrases.flatMap((phrase, i) =>
      found([phrase], text).map((each) => each.replace("0:", `${i}:`)),
    )
    expect(together).toEqual(apart.sort())
    for (const [i, phrase] of phrases.entries()) {
      const plain = phrase.replace("*", "")
      const edge = phrase.endsWith("*") ? "" : "(?= )"
      const naive = [...` ${text} `.matchAll(new RegExp(`(?<= )(?=${plain}${edge})`, "g"))]
      const mine = together.filter((each) => each.startsWith(`${i}:`))
      expect([phrase, text, mine.length]).toEqual([phrase, text, naive.length])
    }
  }
})

test("[T-3.4] a hostile text takes time in proportion to its length", () => {
  const finder = new PhraseFinder([`${"a ".repeat(99)}b`, "aaaaaaaaaab*", "a a a a*"])
  const time = (length: number) => {
    const text = "a ".repeat(length / 2)
    const before = performance.now()
    finder.find(text, () => {})
    return performance.now() - before
  }
  time(100_000)
  const [short, long] = [Math.min(time(50_000), time(50_000)), Math.min(time(500_000), time(500_000))]
  expect(long / short).toBeLessThan(40)
})
