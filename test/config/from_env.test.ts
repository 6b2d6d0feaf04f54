import { describe, expect, test } from "bun:test"
import { configFromEnv } from "../../src/config/from_env.ts"

describe("[I-env] a start from the environment alone", () => {
  test("each <NAME>_SERVICE_URL becomes a service with a route", () => {
    const loaded = configFromEnv({
      CONTEXT_SERVICE_URL: "http://context-service:8001",
      USER_PROFILE_SERVICE_URL: "http://a:1, http://b:2/",
      OTHER_URL: "http://c",
    })
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
    const { services, routes } = loaded.config
    expect(Object.entries(services).map(([name, { instances }]) => [name, instances])).toEqual([
      ["context", ["http://context-service:8001"]],
      ["user-profile", ["http://a:1", "http://b:2/"]],
    ])
    expect(routes.map((route) => [route.path, route.service, route.strip_prefix])).toEqual([
      ["/api/v1/context/*", "context", undefined],
      ["/api/v1/user-profile/*", "user-profile", undefined],
    ])
  })

  test("every request has an id and a line in the access log", () => {
    const loaded = configFromEnv({ A_SERVICE_URL: "http://a" })
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
    expect(Object.keys(loaded.config.defaults)).toEqual(["request_id", "access_log"])
  })

  test("API_V1_PREFIX moves the routes and DEBUG turns the log up", () => {
    const loaded = configFromEnv({ A_SERVICE_URL: "http://a", API_V1_PREFIX: "/gw/v1/", DEBUG: "True" })
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
    expect(loaded.config.routes[0]!.path).toBe("/gw/v1/a/*")
    expect(loaded.config.log.level).toBe("debug")
  })

  test("settings without effect in this version are said aloud, without their values", () => {
    const env = {
      A_SERVICE_URL: "http://a",
      ACCESS_TOKEN_EXPIRE_MINUTES: "30",
      REDIS_PORT: "6379",
    }
    const loaded = configFromEnv(env)
    expect(loaded.ok).toBe(true)
    expect(loaded.warnings.map((each) => each.path).sort()).toEqual(Object.keys(env).slice(1).sort())
  })

  test("[I-env I-rl.redis] REDIS_HOST and REDIS_PORT name the Redis by which machines share limits", () => {
    const redisOf = (env: object) => {
      const loaded = configFromEnv({ A_SERVICE_URL: "http://a", ...env })
      return loaded.ok ? loaded.config.redis : loaded.problems.map(({ path }) => path)
    }
    expect(redisOf({ REDIS_HOST: "cache" })).toBe("redis://cache:6379")
    expect(redisOf({ REDIS_HOST: "::1", REDIS_PORT: "7000" })).toBe("redis://[::1]:7000")
    expect(redisOf({ REDIS_HOST: "user:secret@cache" })).toEqual(["REDIS_HOST"])
    expect(redisOf({ REDIS_HOST: "cache", REDIS_PORT: "70000" })).toEqual(["REDIS_PORT"])
  })

  test("[I-env T-5.1] RATE_LIMIT_PER_SECOND limits each caller on all routes together", () => {
    const loaded = configFromEnv({ A_SERVICE_URL: "http://a", RATE_LIMIT_PER_SECOND: "10" })
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
    expect(loaded.config.defaults.rate_limit).toMatchObject({
      by: "user",
      rate: "10/s",
      burst: 20,
      scope: "global",
      mode: "enforce",
    })
    expect(loaded.warnings).toEqual([])
    for (const count of ["0", "-1", "1.5", "10/s", "100000"]) {
      const refused = configFromEnv({ A_SERVICE_URL: "http://a", RATE_LIMIT_PER_SECOND: count })
      if (refused.ok) throw new Error(`${count} is accepted`)
      expect(refused.problems.map(({ path }) => path)).toEqual(["RATE_LIMIT_PER_SECOND"])
    }
  })

  const SECRET_KEY = `a \${secret} with half a \${ of 32 bytes or more: 0123456789`

  test("[I-auth] with SECRET_KEY every route needs a caller", () => {
    const loaded = configFromEnv({ A_SERVICE_URL: "http://a", SECRET_KEY, ACCESS_TOKEN_EXPIRE_MINUTES: "30" })
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
    expect(loaded.config.defaults.auth).toMatchObject({ required: true, roles: [] })
    expect(loaded.config.auth).toMatchObject({
      secret: SECRET_KEY,
      access_token_ttl: 1_800_000,
      https: "required",
    })
    expect(loaded.warnings).toEqual([])
  })

  test("[I-auth] DEBUG lets the endpoints of identity answer over plain http", () => {
    const loaded = configFromEnv({ A_SERVICE_URL: "http://a", SECRET_KEY, DEBUG: "true" })
    expect(loaded.ok && loaded.config.auth?.https).toBe("off")
  })

  test("[I-auth] without SECRET_KEY there is no section auth, and a lifetime of tokens has no effect", () => {
    const loaded = configFromEnv({ A_SERVICE_URL: "http://a", ACCESS_TOKEN_EXPIRE_MINUTES: "30" })
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems))
    expect([loaded.config.auth, loaded.config.defaults.auth]).toEqual([undefined, undefined])
    expect(loaded.warnings.map(({ path }) => path)).toEqual(["ACCESS_TOKEN_EXPIRE_MINUTES"])
  })

  test("[I-auth] a weak secret, a lifetime that is none and a store that is none are refused without a value", () => {
    const loaded = configFromEnv({
      A_SERVICE_URL: "http://a",
      SECRET_KEY: "hunter2",
      ACCESS_TOKEN_EXPIRE_MINUTES: "0",
      DATABASE_URL: "mysql://root:hunter2@db/x",
    })
    expect(loaded.ok === false && loaded.problems.map((each) => each.path)).toEqual([
      "SECRET_KEY",
      "ACCESS_TOKEN_EXPIRE_MINUTES",
      "DATABASE_URL",
    ])
    expect(JSON.stringify(loaded)).not.toContain("hunter2")
  })

  test("[I-auth] STORE_URL goes before DATABASE_URL", () => {
    const loaded = configFromEnv({
      A_SERVICE_URL: "http://a",
      STORE_URL: "sqlite::memory:",
      DATABASE_URL: "postgres://db/x",
    })
    expect(loaded.ok && loaded.config.store).toBe("sqlite::memory:")
  })

  test("a bad URL, prefix or switch is an error that names the variable", () => {
    const loaded = configFromEnv({
      A_SERVICE_URL: "a:80",
      B_SERVICE_URL: "http://u:hunter2@b",
      API_V1_PREFIX: "api",
      DEBUG: "loud",
    })
    expect(loaded.ok === false && loaded.problems.map((each) => each.path).sort()).toEqual([
      "API_V1_PREFIX",
      "A_SERVICE_URL",
      "B_SERVICE_URL",
      "DEBUG",
    ])
    expect(JSON.stringify(loaded)).not.toContain("hunter2")
  })

  test("an empty environment starts, with a warning that says what is missing", () => {
    const loaded = configFromEnv({})
    expect(loaded.ok).toBe(true)
    expect(loaded.warnings.map((each) => each.message)).toEqual([
      expect.stringContaining("no config file and no <NAME>_SERVICE_URL"),
    ])
  })
})
