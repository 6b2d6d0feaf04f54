import { expect, test } from "bun:test"
import * as net from "node:net"
import { isIP, isIPv4, isIPv6 } from "../../src/lib/ip.ts"

const TEXTS: readonly string[] = [
  ...[
    "1.2.3.4",
    "255.255.255.255",
    "256.1.1.1",
    "01.2.3.4",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.4 ",
    "",
    "a",
    "0x1.2.3.4",
  ],
  ...[
    "::",
    "::1",
    "1::",
    "fe80::1%eth0",
    "fe80::1%",
    "::ffff:1.2.3.4",
    "::ffff:1.2.3.256",
    "1:2:3:4:5:6:7:8",
  ],
  ...[
    "1:2:3:4:5:6:7::",
    "::2:3:4:5:6:7:8",
    "1::8",
    "1:2:3:4:5:6:1.2.3.4",
    "1:2:3:4:5:6:7:1.2.3.4",
    "12345::",
  ],
  ...[
    "1:::2",
    "::1::",
    "G::",
    "[::1]",
    "::1/64",
    ":",
    ":::",
    "1:2:3:4:5:6:7:8:9",
    "::1.2.3",
    "2001:DB8::a\n",
  ],
]

/** Texts of the characters addresses are made of, the same ones at every run. */
function* mixtures(count: number): Generator<string> {
  let state = 5
  const below = (n: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return (state >>> 8) % n
  }
  const parts = ["0", "1", "ff", "255", "::", ":", ":", ".", ".", "1.2.3.4", "abcd", "%a"]
  for (let i = 0; i < count; i++) {
    let text = ""
    for (let left = 1 + below(14); left > 0; left--) text += parts[below(parts.length)]
    yield text
  }
}

test("what is an IP address is what the runtime takes for one", () => {
  let addresses = 0
  for (const text of [...TEXTS, ...mixtures(50_000)]) {
    const expected = net.isIP(text)
    if (expected !== 0) addresses++
    expect([text, isIP(text), isIPv4(text), isIPv6(text)]).toEqual([
      text,
      expected as 0 | 4 | 6,
      expected === 4,
      expected === 6,
    ])
  }
  expect(addresses).toBeGreaterThan(500)
})
