import { expect, test } from "bun:test"
import { toRedisSettings } from "../../src/store/redis_settings.ts"

const MORE = { tls: false, prefix: "gatehouse", connect_timeout: 2000, command_timeout: 500 }

test("[I-rl.redis] a text is the URL of one server", () => {
  expect(toRedisSettings("rediss://u:p@cache:7000/2")).toMatchObject({
    target: { kind: "server", url: "rediss://u:p@cache:7000/2" },
    prefix: "gatehouse",
    commandTimeoutMs: 500,
  })
})

test("[I-rl.redis] sentinels and nodes of a Cluster are hosts with their usual ports", () => {
  expect(toRedisSettings({ ...MORE, sentinels: ["a", "[::1]:7"] })).toMatchObject({
    target: {
      kind: "sentinel",
      name: "mymaster",
      sentinels: [
        { host: "a", port: 26_379 },
        { host: "::1", port: 7 },
      ],
    },
  })
  expect(toRedisSettings({ ...MORE, nodes: ["a:1"], password: "p" })).toMatchObject({
    target: { kind: "cluster", nodes: [{ host: "a", port: 1 }] },
    password: "p",
  })
})

test("[F-40] what cannot be meant is said, without passwords", () => {
  const wrong = [
    toRedisSettings({ ...MORE }),
    toRedisSettings({ ...MORE, url: "redis://a", nodes: ["b"] }),
    toRedisSettings({ ...MORE, url: "redis://a", password: "hush" }),
    toRedisSettings({ ...MORE, url: "redis://:hu/sh@a" }),
    toRedisSettings({ ...MORE, nodes: ["user:hush@a:1"] }),
    toRedisSettings({ ...MORE, url: "redis://a", command_timeout: 1 }),
    toRedisSettings({ ...MORE, url: "redis://a", tls: true }),
  ]
  for (const each of wrong) {
    expect(each).toBeString()
    expect(each).not.toMatch(/hush|hu\/sh/)
  }
})
