import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { COMMAND } from "../support/gateway_process.ts"
import { until } from "../support/until.ts"

setDefaultTimeout(30_000)

const started: Bun.Subprocess[] = []
afterEach(async () => {
  for (const process of started.splice(0)) {
    process.kill("SIGKILL")
    await process.exited
  }
})

/** A process at whose terminal somebody sits. */
function run(command: readonly string[]) {
  const process = Bun.spawn([...command], { stdin: "pipe", stdout: "pipe", stderr: "pipe" })
  started.push(process)
  const said = { out: "", err: "" }
  for (const name of ["out", "err"] as const)
    void (async () => {
      const decoder = new TextDecoder()
      for await (const chunk of process[`std${name}`]) said[name] += decoder.decode(chunk, { stream: true })
    })()
  return {
    said,
    exited: process.exited,
    signal: (name: NodeJS.Signals) => process.kill(name),
    say(line: string): void {
      process.stdin.write(`${line}\n`)
      process.stdin.flush()
    },
    leave: () => process.stdin.end(),
  }
}

test("two terminals chat by the lines the demo prints; one is cut off, comes back, and neither misses a word", async () => {
  const demo = run([...COMMAND, "demo"])
  await until(() => demo.said.out.includes("/line/cut?seconds=10"), "the guide")
  const printed = demo.said.out.slice(demo.said.out.indexOf("# chat:")).split("\n")
  const [first, second] = printed
    .filter((line) => line.includes(" ws "))
    .map((line) => run(["sh", "-c", line]))
  const cut = printed.find((line) => line.startsWith("curl"))!
  const [ada, bob] = [first!, second!]
  await until(() => [ada, bob].every(({ said }) => said.err.includes("listening to chat:lobby")), "both")
  ada.say("hello")
  await until(() => [ada, bob].every(({ said }) => said.out === "hello\n"), "the first line")

  // So long nobody has to wait here.
  const cutting = run(["sh", "-c", cut.replace("seconds=10", "seconds=2")])
  expect(await cutting.exited).toBe(0)
  await until(() => cutting.said.out !== "", "what was cut")
  expect(JSON.parse(cutting.said.out)).toEqual({ connections_cut: 1, back_in_seconds: 2 })
  await until(() => ada.said.err.includes("trying again"), "the cut")
  bob.say("are you there?")
  bob.say("it seems not")
  await until(() => bob.said.out.endsWith("it seems not\n"), "what the other one missed")
  ada.say("I was cut off")
  const all = "hello\nare you there?\nit seems not\nI was cut off\n"
  await until(() => [ada, bob].every(({ said }) => said.out === all), "the way back")
  expect(ada.said.err).toContain("-- back, 2 missed:")
  expect(bob.said.err).not.toContain("disconnected")

  for (const each of [ada, bob]) {
    each.leave()
    expect(await each.exited).toBe(0)
  }
  demo.signal("SIGTERM")
  expect(await demo.exited).toBe(0)
})
