import { ADMIN_FLAGS, adminAccess, askAdmin } from "./admin_client.ts"
import { parseCommand } from "./args.ts"
import { EXIT, type Output } from "./output.ts"
import { usageError } from "./usage.ts"

const FLAGS = { ...ADMIN_FLAGS, undo: { type: "boolean" } } as const

interface Drained {
  readonly instance: string
  readonly everywhere: boolean
  readonly in_flight: number
}

/** `gatehouse drain SERVICE INSTANCE [--undo]`: takes an instance of a running gateway out, or back in. */
export async function drain(args: readonly string[], output: Output): Promise<number> {
  const parsed = parseCommand(args, FLAGS, ["SERVICE", "INSTANCE"])
  if (!parsed.ok) return usageError("drain", parsed.message, output)
  const access = adminAccess(parsed.values as Parameters<typeof adminAccess>[0], output)
  if ("failed" in access) return access.failed
  const [service, instance] = parsed.positionals as [string, string]
  const undo = parsed.values.undo === true
  const path = `/admin/v1/services/${encodeURIComponent(service)}/instances/${undo ? "undrain" : "drain"}`
  const asked = await askAdmin(access, "POST", path, { instance }, output)
  if ("failed" in asked) return asked.failed
  const drained = asked.body as Drained
  const where = drained.everywhere ? "" : " by this gateway"
  output.out(
    undo
      ? `${service} ${drained.instance}: gets requests again${where}\n`
      : `${service} ${drained.instance}: gets nothing new${where}, ${drained.in_flight} in flight\n`,
  )
  return EXIT.fine
}
