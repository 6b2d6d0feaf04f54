import { afterEach, describe, expect, test } from "bun:test"
import type {
  ChannelListener,
  ChannelStore,
  StoredPublication,
} from "../../src/realtime/channels/channel_store.ts"
import type { Member } from "../../src/realtime/channels/protocol.ts"
import { until } from "../support/until.ts"

export interface StoreUnderTest {
  readonly store: ChannelStore
  /** Lets so much time pass for the store. */
  pass(ms: number): Promise<void>
  close(): Promise<void>
}

/** What a gateway heard of its channels. */
export class Heard implements ChannelListener {
  readonly publications: { channel: string; epoch: string; publication: StoredPublication }[] = []
  readonly events: string[] = []

  publication(channel: string, epoch: string, publication: StoredPublication): void {
    this.publications.push({ channel, epoch, publication })
  }
  joined(channel: string, member: Member): void {
    this.events.push(`${member.client} joined ${channel}`)
  }
  left(channel: string, member: Member): void {
    this.events.push(`${member.client} left ${channel}`)
  }
  lost(channel: string): void {
    this.events.push(`lost ${channel}`)
  }
}

const KEPT = { size: 100, ttlMs: 60_000 }
const SHORT_MS = 200
const message = (data: unknown, key?: string) => ({
  data: JSON.stringify(data),
  publisher: { user: "u" },
  key,
})
const offsets = (publications: readonly StoredPublication[]) => publications.map(({ offset }) => offset)

/** What every channel store does, whatever it keeps channels in. `open` gives an empty one. */
export function channelStoreSuite(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(name, () => {
    const opened: StoreUnderTest[] = []
    afterEach(async () => {
      for (const each of opened.splice(0)) await each.close()
    })

    async function begin(): Promise<StoreUnderTest & { heard: Heard }> {
      const under = await open()
      opened.push(under)
      const heard = new Heard()
      await under.store.open(heard)
      return { ...under, heard }
    }

    test("[T-3.3] offsets of a channel grow by one from 1, in one epoch", async () => {
      const { store } = await begin()
      const first = await store.publish("a:1", message(1), KEPT)
      const second = await store.publish("a:1", message(2), KEPT)
      expect(first).toEqual({ epoch: first.epoch, offset: 1, duplicate: false })
      expect(second).toEqual({ epoch: first.epoch, offset: 2, duplicate: false })
      expect((await store.publish("a:2", message(1), KEPT)).offset).toBe(1)
    })

    test("[T-3.2] who listens hears every publication once, in order, with what was published", async () => {
      const { store, heard } = await begin()
      await store.listen("a:1")
      await store.listen("a:1")
      await Promise.all(Array.from({ length: 50 }, (_, i) => store.publish("a:1", message({ i }), KEPT)))
      await until(() => heard.publications.length >= 50, "50 publications")
      expect(heard.publications.map(({ publication }) => publication.offset)).toEqual(
        Array.from({ length: 50 }, (_, i) => i + 1),
      )
      const { epoch, publications } = await store.history("a:1", undefined, 50, KEPT)
      expect(heard.publications.map(({ publication }) => publication)).toEqual([...publications])
      expect(new Set(heard.publications.map((each) => `${each.channel} ${each.epoch}`))).toEqual(
        new Set([`a:1 ${epoch}`]),
      )
      expect(publications[0]).toEqual({ offset: 1, data: '{"i":0}', publisher: { user: "u" } })
    })

    test("who does not listen any more hears nothing", async () => {
      const { store, heard } = await begin()
      await store.listen("a:1")
      await store.listen("a:2")
      await store.unlisten("a:1")
      await store.publish("a:1", message(1), KEPT)
      await store.publish("a:2", message(2), KEPT)
      await until(() => heard.publications.length > 0, "a publication")
      expect(heard.publications.map(({ channel }) => channel)).toEqual(["a:2"])
    })

    test("history gives what came after a position, and the newest without one", async () => {
      const { store } = await begin()
      for (let i = 1; i <= 10; i++) await store.publish("a:1", message(i), KEPT)
      const { epoch } = await store.history("a:1", undefined, 1, KEPT)
      const after = (offset: number, limit: number) => store.history("a:1", { epoch, offset }, limit, KEPT)
      const middle = await after(4, 3)
      expect(offsets(middle.publications)).toEqual([5, 6, 7])
      expect(middle).toMatchObject({ offset: 10, complete: true })
      expect(offsets((await after(0, 100)).publications)).toHaveLength(10)
      expect(await after(10, 100)).toEqual({
        epoch,
        offset: 10,
        publications: [],
        complete: true,
        known: true,
      })
      expect(offsets((await store.history("a:1", undefined, 3, KEPT)).publications)).toEqual([8, 9, 10])
    })

    test("history of a channel nobody has used is empty, at offset 0", async () => {
      const { store } = await begin()
      const { epoch, ...rest } = await store.history("a:new", undefined, 10, KEPT)
      expect(rest).toEqual({ offset: 0, publications: [], complete: true, known: false })
      expect((await store.publish("a:new", message(1), KEPT)).epoch).toBe(epoch)
    })

    test("history says when what was asked for is gone, by size, another epoch, or a position ahead", async () => {
      const { store } = await begin()
      const small = { size: 3, ttlMs: 60_000 }
      for (let i = 1; i <= 10; i++) await store.publish("a:1", message(i), small)
      const { epoch } = await store.history("a:1", undefined, 1, small)
      expect(await store.history("a:1", { epoch, offset: 7 }, 10, small)).toMatchObject({ complete: true })
      const gone = await store.history("a:1", { epoch, offset: 6 }, 10, small)
      expect(gone).toMatchObject({ complete: false, known: true })
      expect(offsets(gone.publications)).toEqual([8, 9, 10])
      const other = await store.history("a:1", { epoch: "other", offset: 9 }, 10, small)
      expect(other).toEqual({ epoch, offset: 10, publications: [], complete: false, known: false })
      const ahead = await store.history("a:1", { epoch, offset: 11 }, 10, small)
      expect(ahead).toMatchObject({ complete: false, known: false })
    })

    test("publications older than their time are gone; offsets go on", async () => {
      const { store, pass } = await begin()
      const brief = { size: 100, ttlMs: SHORT_MS }
      const { epoch } = await store.publish("a:1", message(1), brief)
      await pass(SHORT_MS * 2)
      const later = await store.history("a:1", { epoch, offset: 0 }, 10, brief)
      expect(later).toEqual({ epoch, offset: 1, publications: [], complete: false, known: true })
      expect(await store.publish("a:1", message(2), brief)).toMatchObject({ epoch, offset: 2 })
    })

    test("without history, offsets are counted and listeners told all the same", async () => {
      const { store, heard } = await begin()
      const none = { size: 0, ttlMs: 0 }
      await store.listen("a:1")
      await store.publish("a:1", message(1), none)
      await store.publish("a:1", message(2), none)
      await until(() => heard.publications.length === 2, "two publications")
      expect(await store.history("a:1", undefined, 10, none)).toMatchObject({ offset: 2, publications: [] })
    })

    test("a key that comes twice is published once", async () => {
      const { store, heard } = await begin()
      await store.listen("a:1")
      const first = await store.publish("a:1", message("x", "k"), KEPT)
      expect(await store.publish("a:1", message("y", "k"), KEPT)).toEqual({ ...first, duplicate: true })
      expect(await store.publish("a:2", message("z", "k"), KEPT)).toMatchObject({ duplicate: false })
      await store.publish("a:1", message("end"), KEPT)
      await until(() => heard.publications.some(({ publication }) => publication.data === '"end"'), "the end")
      expect(heard.publications.map(({ publication }) => publication.data)).toEqual(['"x"', '"end"'])
    })

    test("members come, are listed and go, and listeners are told", async () => {
      const { store, heard } = await begin()
      await store.listen("a:1")
      const ada = { client: "c1", user: "ada" }
      const anonymous = { client: "c2" }
      await store.enter("a:1", ada, 10_000, true)
      await store.enter("a:1", anonymous, 10_000, true)
      expect(await store.members("a:1", 10)).toEqual([ada, anonymous])
      expect(await store.members("a:1", 1)).toEqual([ada])
      await store.leave("a:1", ada, true)
      await store.leave("a:1", ada, true)
      expect(await store.members("a:1", 10)).toEqual([anonymous])
      await until(() => heard.events.length >= 3, "three events")
      expect(heard.events).toEqual(["c1 joined a:1", "c2 joined a:1", "c1 left a:1"])
    })

    test("a member that is not refreshed runs out; one that is stays", async () => {
      const { store, pass } = await begin()
      const [gone, stays] = [{ client: "c1" }, { client: "c2" }]
      await store.enter("a:1", gone, SHORT_MS, false)
      await store.enter("a:1", stays, SHORT_MS, false)
      await store.refresh("a:1", [stays], 60_000)
      await pass(SHORT_MS * 2)
      expect(await store.members("a:1", 10)).toEqual([stays])
      await store.refresh("a:1", [gone], 60_000)
      expect(await store.members("a:1", 10)).toHaveLength(2)
    })

    test("[T-3.5] a cursor moves with acknowledgements, never back, and counts what was sent again", async () => {
      const { store } = await begin()
      const { epoch } = await store.publish("a:1", message(1), KEPT)
      const at = (offset: number) => ({ epoch, offset })
      expect(await store.cursor("a:1", "ada")).toBeUndefined()
      expect(await store.attempted("a:1", "ada")).toBeUndefined()
      expect(await store.acknowledge("a:1", "ada", at(5))).toEqual({ ...at(5), attempts: 0 })
      expect(await store.attempted("a:1", "ada")).toEqual({ ...at(5), attempts: 1 })
      expect(await store.attempted("a:1", "ada")).toEqual({ ...at(5), attempts: 2 })
      expect(await store.acknowledge("a:1", "ada", at(3))).toEqual({ ...at(5), attempts: 2 })
      expect(await store.acknowledge("a:1", "ada", at(6))).toEqual({ ...at(6), attempts: 0 })
      expect(await store.cursor("a:1", "ada")).toEqual({ ...at(6), attempts: 0 })
      expect(await store.cursor("a:2", "ada")).toBeUndefined()
      const other = { epoch: "other", offset: 1 }
      expect(await store.acknowledge("a:1", "ada", other)).toEqual({ ...other, attempts: 0 })
    })

    test("[T-3.5] dead letters are listed, the newest first", async () => {
      const { store } = await begin()
      const letter = { channel: "a:1", subscriber: "ada", epoch: "e", offset: 1, data: "1" } as const
      const rest = { publisher: undefined, reason: "max_deliveries", at: 1 } as const
      await store.bury({ ...letter, ...rest })
      await store.bury({ ...letter, ...rest, offset: 2 })
      expect((await store.deadLetters("a:1", 10)).map(({ offset }) => offset)).toEqual([2, 1])
      expect(await store.deadLetters("a:1", 1)).toEqual([{ ...letter, ...rest, offset: 2 }])
      expect(await store.deadLetters("a:2", 10)).toEqual([])
    })

    test("what is kept is given out once, and not when its time is over", async () => {
      const { store, pass } = await begin()
      await store.keep("k1", "secret", 60_000)
      expect(await Promise.all([store.take("k1"), store.take("k1")])).toEqual(["secret", undefined])
      await store.keep("k2", "late", SHORT_MS)
      await pass(SHORT_MS * 2)
      expect(await store.take("k2")).toBeUndefined()
    })
  })
}
