import { expect, test } from "bun:test"
import { parseInstances, readInstanceFile } from "../../src/config/instance_file.ts"

const A = "http://10.0.0.1:80"

test("[T-1.4] a file of instances is a list, or a mapping with a list for the service, in YAML or JSON", () => {
  const wanted = [
    { url: A, weight: 1, zone: "", tags: [], draining: false },
    { url: "http://10.0.0.2:80", weight: 3, zone: "eu", tags: ["x"], draining: true },
  ]
  const yaml = `- ${A}\n- { url: http://10.0.0.2:80, weight: 3, zone: eu, tags: [x], draining: true }\n`
  expect(parseInstances(yaml, "/app.yaml", "app")).toEqual(wanted)
  const whole = {
    other: [],
    app: [A, { url: "http://10.0.0.2:80", weight: 3, zone: "eu", tags: ["x"], draining: true }],
  }
  expect(parseInstances(JSON.stringify(whole), "/app.json", "app")).toEqual(wanted)
  expect(parseInstances("[]", "/app.yaml", "app")).toEqual([])
})

const BAD: readonly (readonly [what: string, text: string, told: string])[] = [
  ["an empty file", "", "neither a list of instances nor"],
  ["a mapping without the service", "other: []", "neither a list of instances nor"],
  ["broken YAML", "- [", "/app.yaml"],
  ["no address", "- not an address", "unknown scheme"],
  ["a path", `- ${A}/path`, "a path is not supported"],
  ["a weight of 0", `- { url: ${A}, weight: 0 }`, "[0].weight"],
  ["a key nobody knows", `- { url: ${A}, wait: 1 }`, "wait"],
  ["a name that reaches for the prototype", "__proto__: []", "/app.yaml"],
]

test.each(BAD)("[T-1.4] [F-47] %s is refused by name", (_what, text, told) => {
  expect(() => parseInstances(text, "/app.yaml", "app")).toThrow(told)
})

test("[T-1.4] [F-47] a file that is not there, a directory and bytes that are no text are refused", () => {
  expect(() => readInstanceFile("/nonexistent/app.yaml", "app")).toThrow("ENOENT")
  expect(() => readInstanceFile("/tmp", "app")).toThrow("no regular file")
  expect(() => readInstanceFile("/dev/zero", "app")).toThrow("no regular file")
})
