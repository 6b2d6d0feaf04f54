import { expect, test } from "bun:test"
import { AddressList, isAddressRange } from "../../src/lib/address_list.ts"

test.each(["10.0.0.1", "10.0.0.0/8", "0.0.0.0/0", "::1", "2001:db8::/32", "::/0"])(
  "%p is an address or a range",
  (text) => expect(isAddressRange(text)).toBe(true),
)

test.each([
  "",
  "10.0.0",
  "10.0.0.0/33",
  "::/129",
  "10.0.0.0/",
  "10.0.0.0/8/8",
  "10.0.0.0/-1",
  "example.com",
  "10.0.0.01",
])("%p is neither an address nor a range", (text) => expect(isAddressRange(text)).toBe(false))

test("a list has its addresses and those in its ranges, of both versions", () => {
  const list = new AddressList(["10.1.0.0/16", "192.0.2.7", "2001:db8::/32"])
  const has = (addresses: string[]) => addresses.filter((each) => list.has(each))
  const inside = ["10.1.255.255", "192.0.2.7", "2001:db8:ffff::1", "2001:0db8:0000::1"]
  expect(has([...inside, "10.2.0.0", "192.0.2.8", "2001:db9::", "unix:", ""])).toEqual(inside)
})

test("an entry that is neither address nor range matches nothing", () => {
  const list = new AddressList(["10.1.0.0/99", "anything"])
  expect(list.has("10.1.0.1")).toBe(false)
})
