import { afterEach, expect, setDefaultTimeout, test } from "bun:test"
import { type ByteService, download, startByteService, upload } from "../support/byte_source.ts"
import { endGateways, type GatewayProcess, startGateway } from "../support/gateway_process.ts"
import { watchRss } from "../support/proc.ts"

setDefaultTimeout(60_000)

const SIZE = 2_147_483_648
const MAX_RSS_MB = 140

let service: ByteService

afterEach(async () => {
  await endGateways()
  service.stop()
})

function open(): Promise<GatewayProcess> {
  service = startByteService(SIZE / 5)
  return startGateway({
    server: { max_body: "4GB" },
    services: { app: { instances: [service.url] } },
    routes: [{ path: "/*", service: "app" }],
  })
}

test("2 GB go to a client that stops reading now and then, in bounded memory", async () => {
  const gateway = await open()
  const rss = watchRss(gateway.pid)
  expect(await download(gateway.port, SIZE, SIZE / 5)).toBeGreaterThanOrEqual(SIZE)
  expect(rss.stop()).toBeLessThan(MAX_RSS_MB)
})

test("2 GB go to a service that stops reading now and then, in bounded memory", async () => {
  const gateway = await open()
  const rss = watchRss(gateway.pid)
  expect(await upload(gateway.port, SIZE)).toBe(String(SIZE))
  expect(rss.stop()).toBeLessThan(MAX_RSS_MB)
})
