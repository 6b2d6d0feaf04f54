import { afterEach, expect, test } from "bun:test"
import { RequestTurns } from "../../src/identity/request_turns.ts"
import { closeVms, openVm } from "../support/identity_vm.ts"
import { closeStores } from "../support/store.ts"

afterEach(async () => {
  closeVms()
  await closeStores()
})

/** Turns of an event loop that the test takes, and work that ends when it says so. */
class World {
  readonly begun: string[] = []
  readonly #soon: (() => void)[] = []
  readonly #ends: (() => void)[] = []
  readonly turns = new RequestTurns({ soon: (run) => this.#soon.push(run) })

  ask(client: string, name = client): Promise<string | undefined> {
    return this.turns.run(client, () => {
      this.begun.push(name)
      return new Promise((end) => this.#ends.push(() => end(name)))
    })
  }

  /** One turn of the event loop; false: there was nothing to do. */
  async turn(): Promise<boolean> {
    const run = this.#soon.shift()
    run?.()
    for (let i = 0; i < 5; i++) await Promise.resolve()
    return run !== undefined
  }

  async settle(): Promise<void> {
    while (await this.turn());
  }

  /** The oldest that runs ends. */
  async end(): Promise<void> {
    this.#ends.shift()!()
    for (let i = 0; i < 5; i++) await Promise.resolve()
  }
}

const addresses = (count: number) => Array.from({ length: count }, (_, i) => `10.0.${i >> 8}.${i & 255}`)

test("one request is begun a turn of the event loop, so that others get theirs between", async () => {
  const world = new World()
  for (const address of addresses(3)) void world.ask(address)
  expect(world.begun).toEqual([])
  for (let i = 1; i <= 3; i++) {
    await world.turn()
    expect(world.begun).toHaveLength(i)
  }
  expect(await world.turn()).toBe(false)
})

test("a client has eight places; others who came later are begun before its ninth", async () => {
  const world = new World()
  for (let i = 0; i < 20; i++) void world.ask("192.0.2.1", `flood ${i}`)
  void world.ask("192.0.2.2", "other")
  await world.settle()
  expect(world.begun).toHaveLength(9)
  expect(world.begun.at(-1)).toBe("other")
  await world.end()
  await world.settle()
  expect(world.begun.at(-1)).toBe("flood 8")
})

test("addresses of one IPv6 network are one client", async () => {
  const world = new World()
  for (let i = 0; i < 20; i++) void world.ask(`2001:db8:1:2::${i.toString(16)}`, `${i}`)
  void world.ask("2001:db8:1:3::1", "other")
  await world.settle()
  expect(world.begun).toEqual(["0", "1", "2", "3", "4", "5", "6", "7", "other"])
})

test("what one client may have waiting is bounded, and leaves room for others", async () => {
  const world = new World()
  const asked = Array.from({ length: 73 }, (_, i) => world.ask("192.0.2.1", `${i}`))
  // 64 wait; the rest is refused at once, without a turn.
  expect(await asked[64]).toBeUndefined()
  await world.settle()
  expect(world.begun).toHaveLength(8)
  const other = world.ask("192.0.2.2", "other")
  await world.settle()
  for (let i = 0; i < 9; i++) await world.end()
  expect(await other).toBe("other")
})

test("sixty-four run at a time, 512 wait in order, and further ones are refused", async () => {
  const world = new World()
  const all = addresses(64 + 512)
  for (const address of all.slice(0, 64)) void world.ask(address)
  await world.settle()
  for (const address of all.slice(64)) void world.ask(address)
  expect(await world.ask("192.0.2.9")).toBeUndefined()
  await world.settle()
  expect(world.begun).toHaveLength(64)
  await world.end()
  await world.settle()
  expect(world.begun).toEqual(all.slice(0, 65))
  void world.ask("192.0.2.9")
  while (world.begun.length < 577) {
    await world.end()
    await world.settle()
  }
  expect(world.begun).toEqual([...all, "192.0.2.9"])
})

test("work that fails gives its place back", async () => {
  const soon = (run: () => void) => queueMicrotask(run)
  const turns = new RequestTurns({ soon })
  for (let i = 0; i < 100; i++)
    await expect(turns.run("192.0.2.1", () => Promise.reject(new Error("broken")))).rejects.toThrow("broken")
  expect(await turns.run("192.0.2.1", async () => "fine")).toBe("fine")
})

test("a flood of one address is told to come back, while another address is answered", async () => {
  const vm = await openVm("sqlite::memory:")
  const ask = (client: string) =>
    vm.ask("POST", "/auth/refresh", { json: { refresh_token: "gh_rt_none" }, client })
  const flood = Array.from({ length: 200 }, () => ask("192.0.2.1"))
  const other = await ask("192.0.2.2")
  expect(other.code).toBe("AUTH_ERROR")
  const answers = await Promise.all(flood)
  const refused = answers.filter(({ code }) => code === "OVERLOADED")
  expect(refused).toHaveLength(200 - 64)
  expect(refused[0]!.headers.get("retry-after")).toBe("1")
  expect(answers.filter(({ code }) => code === "AUTH_ERROR")).toHaveLength(64)
})
