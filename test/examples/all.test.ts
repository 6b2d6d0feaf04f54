import { describe, expect, test } from "bun:test"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { parseAllDocuments } from "yaml"
import { createHealth } from "../../src/admin/health.ts"
import { openApiText } from "../../src/admin/openapi.ts"
import { check } from "../../src/cli/check.ts"
import { loadConfig, parseConfig } from "../../src/config/load.ts"
import { readExample, runExample } from "../support/example.ts"
import { serveGateway } from "../support/gateway.ts"

const directory = join(import.meta.dir, "../../examples")
const ENV = { SECRET_KEY: "0123456789abcdefghijklmnopqrstuvwxyz" }
const configs = readdirSync(directory).filter((name) => name.endsWith(".yaml"))

// biome-ignore lint/suspicious/noExplicitAny: manifests and API documents are read as their readers do
type Json = any

for (const name of configs) {
  describe(name, () => {
    test("`gatehouse check` finds nothing to say", () => {
      let out = ""
      let err = ""
      const output = { out: (text: string) => void (out += text), err: (text: string) => void (err += text) }
      const before = process.env
      process.env = { ...before, ...ENV }
      try {
        expect(check(["-c", join(directory, name)], output)).toBe(0)
      } finally {
        process.env = before
      }
      expect(err).toBe("")
      expect(out).toContain(": ok (")
    })

    test("[C-12.1] every operation has a summary and a description of its own", async () => {
      const loaded = loadConfig(join(directory, name), ENV)
      if (!loaded.ok) throw new Error("the example is broken")
      const { routes } = loaded.config
      const bare = routes.filter((route) => !route.summary || !route.description).map((route) => route.path)
      expect(bare).toEqual([])
      const health = createHealth({ version: "1", ready: () => true, services: () => [], wallClock: () => 0 })
      const { paths } = JSON.parse(await openApiText(loaded.config, "1", health)) as Json
      const documented = Object.values(paths as Record<string, Record<string, Json>>)
        .flatMap((path) => Object.values(path))
        .map((operation) => operation.summary)
      for (const route of routes) expect(documented).toContain(route.summary)
    })
  })
}

/** The documents of a manifest. */
function documents(name: string): Json[] {
  return parseAllDocuments(readExample(name)).map((document) => {
    expect(document.errors).toEqual([])
    return document.toJS()
  })
}

describe("deploy/kubernetes.yaml", () => {
  const objects = documents("deploy/kubernetes.yaml")
  const one = (kind: string): Json => objects.find((object) => object.kind === kind)
  const deployment = one("Deployment")
  const pod = deployment.spec.template.spec
  const container = pod.containers[0]
  const given: string[] = container.env.map(({ name }: Json) => name)
  const loaded = parseConfig(one("ConfigMap").data["gatehouse.yaml"], "yaml", {
    ADMIN_TOKEN: "a-token-for-tests-only",
    STORE_URL: "postgres://gatehouse:word@postgres.default.svc/gatehouse",
    ...ENV,
  })
  if (!loaded.ok) throw new Error(loaded.problems.map((problem) => problem.message).join("; "))
  const { server, admin } = loaded.config

  test("its config is accepted without a warning", () => expect(loaded.warnings).toEqual([]))

  test("the container is given every variable its config asks for, out of secrets", () => {
    const asked = one("ConfigMap").data["gatehouse.yaml"].matchAll(/\$\{([A-Z_]+)\}/g)
    expect([...asked].map(([, name]) => name).sort()).toEqual([...given].sort() as [])
    for (const { valueFrom } of container.env) expect(valueFrom.secretKeyRef.key).toBeString()
  })

  test("the config is mounted as a directory: a file of it would never change", () => {
    const mount = container.volumeMounts.find((each: Json) => each.name === "config")
    expect(mount.subPath).toBeUndefined()
    expect(container.args).toContain(`${mount.mountPath}/gatehouse.yaml`)
  })

  test("probes ask the port clients come to", () => {
    const port = (name: string) => container.ports.find((each: Json) => each.name === name).containerPort
    expect(port("http")).toBe(server.port)
    expect(port("admin")).toBe(admin.port)
    expect(container.livenessProbe.httpGet).toEqual({ path: "/health/live", port: "http" })
    expect(container.readinessProbe.httpGet).toEqual({ path: "/health/ready", port: "http" })
  })

  test("a pod may drain to its end, and readiness is noticed before the port closes", () => {
    expect(pod.terminationGracePeriodSeconds * 1000).toBeGreaterThan(
      server.drain_delay + server.shutdown_timeout,
    )
    const { periodSeconds, failureThreshold } = container.readinessProbe
    expect(server.drain_delay).toBeGreaterThanOrEqual(periodSeconds * failureThreshold * 1000)
  })

  test("the container has no rights it does not need", () => {
    expect(pod.securityContext.runAsNonRoot).toBe(true)
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    })
  })

  test("selectors fit the pods", () => {
    const { labels } = deployment.spec.template.metadata
    expect(labels).toMatchObject(deployment.spec.selector.matchLabels)
    expect(labels).toMatchObject(one("PodDisruptionBudget").spec.selector.matchLabels)
    for (const service of objects.filter((object) => object.kind === "Service"))
      expect(labels).toMatchObject(service.spec.selector)
    expect(labels).toMatchObject(documents("deploy/podmonitor.yaml")[0].spec.selector.matchLabels)
  })
})

test("deploy/gatehouse.service gives the gateway time to drain", () => {
  const unit = readExample("deploy/gatehouse.service")
  const loaded = parseConfig("{}", "yaml", {})
  if (!loaded.ok) throw new Error("defaults are broken")
  const { drain_delay, shutdown_timeout } = loaded.config.server
  const seconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])
  expect(seconds * 1000).toBeGreaterThan(drain_delay + shutdown_timeout)
})

test("deploy/gatehouse.service keeps accounts where it may write, for every example that has some", () => {
  const unit = readExample("deploy/gatehouse.service")
  const directory = /^StateDirectory=(\w+)$/m.exec(unit)?.[1]
  const store = /^Environment=STORE_URL=(.*)$/m.exec(unit)?.[1]?.replace("%S", "/var/lib")
  expect(store).toStartWith(`sqlite:/var/lib/${directory}/`)
  const kept: string[] = []
  for (const name of configs) {
    const loaded = loadConfig(join(import.meta.dir, "../../examples", name), { ...ENV, STORE_URL: store! })
    if (!loaded.ok) throw new Error(`${name} is broken`)
    if (loaded.config.auth !== undefined) kept.push(`${name} ${loaded.config.store}`)
  }
  const withAccounts = configs.filter((name) => name !== "gatehouse.yaml")
  expect(kept).toEqual(withAccounts.map((name) => `${name} ${store}`))
})

test("gatehouse.yaml brings clients to both copies of its service", async () => {
  const example = runExample("gatehouse.yaml")
  try {
    const instances = new Set<string | undefined>()
    for (let i = 0; i < 50; i++) {
      const { arrived } = await example.call("GET", "/api/v1/hello/world")
      expect(arrived?.path).toBe("/api/v1/hello/world")
      instances.add(arrived?.instance)
    }
    expect([...instances].sort()).toEqual(["HELLO_1", "HELLO_2"])
  } finally {
    example.close()
  }
})

describe("deploy/Dockerfile", () => {
  const check: string[] = JSON.parse(/^\s+CMD (\[.*\])$/m.exec(readExample("deploy/Dockerfile"))![1]!)

  async function run(port: number): Promise<number> {
    const command = check.map((word) => word.replace("/8080", `/${port}`))
    return Bun.spawn(command, { stdout: "ignore", stderr: "ignore" }).exited
  }

  for (const [says, status, healthy] of [
    ["passes a gateway that answers", 200, true],
    ["fails one that answers with an error", 503, false],
  ] as const) {
    test(`its health check ${says}`, async () => {
      const gateway = serveGateway({ routes: [{ path: "/health/live", respond: { status } }] })
      try {
        expect((await run(gateway.port)) === 0).toBe(healthy)
      } finally {
        gateway.close()
      }
    })
  }

  test("its health check fails where nobody listens", async () => {
    const gateway = serveGateway({ routes: [] })
    gateway.close()
    expect(await run(gateway.port)).not.toBe(0)
  })
})
