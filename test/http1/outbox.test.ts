import { expect, test } from "bun:test"
import { Outbox, type Sender } from "../../src/http1/outbox.ts"

class Note implements Sender {
  got = ""
  /** Called when a message was taken. */
  after: (() => void) | undefined

  send(bytes: Uint8Array, start: number, end: number): void {
    this.got += Buffer.from(bytes.subarray(start, end)).latin1Slice()
    this.after?.()
  }
}

function makeOutbox() {
  let told = 0
  const outbox = new Outbox(() => told++)
  const put = (sender: Sender, text: string): void => {
    const start = outbox.begin()
    outbox.put(sender, start + outbox.buffer.latin1Write(text, start))
  }
  return { outbox, put, told: () => told }
}

test("nothing goes out before it is sent, and then everything once, in order", () => {
  const { outbox, put } = makeOutbox()
  const order: string[] = []
  const notes = [new Note(), new Note()] as const
  notes[0].after = () => order.push("a")
  notes[1].after = () => order.push("b")
  put(notes[0], "1")
  put(notes[1], "2")
  put(notes[0], "3")
  expect([notes[0].got, notes[1].got]).toEqual(["", ""])
  outbox.send()
  outbox.send()
  expect([notes[0].got, notes[1].got, order.join("")]).toEqual(["13", "2", "aba"])
})

test("that there is something to send is told once, and again after it was sent", () => {
  const { outbox, put, told } = makeOutbox()
  const note = new Note()
  put(note, "1")
  put(note, "2")
  expect(told()).toBe(1)
  outbox.send()
  put(note, "3")
  expect(told()).toBe(2)
})

test("a message that was begun and never put leaves no trace", () => {
  const { outbox, put } = makeOutbox()
  const note = new Note()
  put(note, "one ")
  outbox.buffer.latin1Write("never", outbox.begin())
  put(note, "two")
  outbox.send()
  expect(note.got).toBe("one two")
})

test("each message has 192 KiB of room: past 64 KiB, what is there goes first", () => {
  const { outbox, put } = makeOutbox()
  const note = new Note()
  put(note, "x".repeat(65_536))
  expect(outbox.buffer.length - outbox.begin()).toBeGreaterThanOrEqual(196_608)
  expect(note.got).toBe("")
  put(note, "y")
  expect(outbox.buffer.length - outbox.begin()).toBeGreaterThanOrEqual(196_608)
  expect(note.got.length).toBe(65_537)
})

test("what is put while a sender has its turn goes out too, behind the rest", () => {
  const { outbox, put } = makeOutbox()
  const first = new Note()
  const second = new Note()
  put(first, "1")
  put(second, "2")
  first.after = () => {
    first.after = undefined
    put(second, "3")
  }
  outbox.send()
  expect(second.got).toBe("23")
})

test("a sender that has everything sent in its turn neither repeats nor loses a message", () => {
  const { outbox, put } = makeOutbox()
  const first = new Note()
  const second = new Note()
  put(first, "1")
  put(second, "2")
  put(first, "3")
  first.after = () => {
    first.after = undefined
    outbox.send()
    // Into a buffer that is empty by now.
    put(second, "four")
  }
  outbox.send()
  outbox.send()
  expect([first.got, second.got]).toEqual(["13", "2four"])
})

test("a sender that begins a message past 64 KiB in its turn has the rest sent first", () => {
  const { outbox, put } = makeOutbox()
  const first = new Note()
  const second = new Note()
  put(first, "1")
  put(second, "x".repeat(65_536))
  first.after = () => {
    first.after = undefined
    put(second, "end")
  }
  outbox.send()
  expect(second.got).toBe(`${"x".repeat(65_536)}end`)
})
