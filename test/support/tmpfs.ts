import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const mounts: string[] = []

/** A small file system of its own, with these options ("size=2m"); undefined: this machine allows none. */
export function mountTmpfs(options: string): string | undefined {
  const mount = mkdtempSync(join(tmpdir(), "gatehouse-mount-"))
  const done = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", options, "tmpfs", mount], { stderr: "pipe" })
  if (done.exitCode !== 0) {
    console.log(`not proven here, as mounting is not allowed: ${done.stderr.toString().trim()}`)
    rmSync(mount, { recursive: true })
    return undefined
  }
  mounts.push(mount)
  return mount
}

/** Takes away what a test has mounted. For `afterEach`, when nothing uses it any more. */
export function unmountAll(): void {
  for (const mount of mounts.splice(0)) {
    Bun.spawnSync(["umount", mount])
    rmSync(mount, { recursive: true, force: true })
  }
}
