import { afterEach, expect, test } from "bun:test"
import { ControlIdentity } from "../../src/cli/identity.ts"
import type { IdentityRequest } from "../../src/identity/messages.ts"
import { PASSWORD } from "../support/accounts.ts"
import { exampleConfig } from "../support/config.ts"
import { startSmtpServer } from "../support/smtp_server.ts"
import { closeStores, NO_LOG, open } from "../support/store.ts"
import { until } from "../support/until.ts"

afterEach(closeStores)

test("[V-auth.7] the control plane sends mail by itself, soon after what brings it", async () => {
  const server = startSmtpServer()
  const config = exampleConfig({
    auth: {
      secret: "k3J9-aZ81-pQw7-LmN2-xYt5-Vb60-Rs4e",
      https: "off",
      registration: { enabled: true },
      mail: {
        smtp: server.url,
        from: "gate@example.com",
        reset_url: "https://app.example/reset/{token}",
        verify_url: "https://app.example/verify/{token}",
      },
    },
    services: {},
    routes: [],
  })
  const store = await open("sqlite::memory:")
  const deps = { store, wallClock: Date.now, count: () => undefined, log: NO_LOG }
  const identity = new ControlIdentity(config, deps)
  await identity.open()
  try {
    const request: IdentityRequest = {
      method: "POST",
      path: "/api/auth/register",
      query: "",
      scheme: "http",
      host: "gate.example",
      client: "192.0.2.1",
      requestId: "r1",
      fields: ["content-type", "application/json"],
      body: Buffer.from(JSON.stringify({ email: "ann@example.com", password: PASSWORD })),
      principal: undefined,
    }
    expect(await identity.answer({ kind: "request", request })).toMatchObject({ kind: "answer", status: 202 })
    await until(() => server.letters.length === 1, "the mail")
    expect(server.letters[0]!.to).toEqual(["RCPT TO:<ann@example.com>"])
  } finally {
    identity.close()
    server.close()
  }
})
