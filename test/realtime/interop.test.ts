import { describe, expect, test } from "bun:test"
import { startWsProxy } from "../support/ws_proxy.ts"

const SCRIPT = `${import.meta.dir}/../support/ws_python.py`
/** A Python that has the package; the distribution's own comes second. */
const python = ["python3", "/usr/bin/python3"].find(
  (path) => Bun.spawnSync([path, "-c", "import websockets"], { stderr: "ignore" }).exitCode === 0,
)

describe("interop", () => {
  test.skipIf(python === undefined)(
    "[S-FR4.2] a client and a service of another implementation understand each other through the relay",
    async () => {
      const service = Bun.spawn([python!, SCRIPT, "server"], { stdout: "pipe" })
      const first = await service.stdout.getReader().read()
      const port = Number(new TextDecoder().decode(first.value))
      const proxy = startWsProxy({ upstream: `ws://127.0.0.1:${port}` })
      const client = Bun.spawn([python!, SCRIPT, "client", proxy.url], { stdout: "pipe" })
      const seen = JSON.parse(await new Response(client.stdout).text())
      expect(seen).toEqual({
        protocol: "chat.v2",
        extensions: 0,
        text: "text é",
        binary: [0, 255],
        fragments: "fragmented",
        big: 5_000_000,
        pong: true,
        clean: 1000,
        bye: [4001, "python says bye"],
      })
      expect(proxy.problems).toEqual([])
      proxy.stop()
      service.kill()
      await service.exited
    },
  )
})
