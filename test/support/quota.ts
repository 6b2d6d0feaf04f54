import { accessToken } from "./access_token.ts"
import { SECRET } from "./authenticator.ts"
import type { GatewayProcess } from "./gateway_process.ts"

/** A gateway with accounts of units: basic has 5 stories a day, premium 20. `changes`: of the quota. */
export const storiesConfig = (store: string, changes: object = {}, rest: object = {}) => ({
  store,
  auth: { secret: SECRET, tiers: ["basic", "premium"], https: "off" },
  routes: [
    {
      path: "/stories",
      respond: { body: "told" },
      quota: { name: "stories", per: "day", limits: { basic: 5, premium: 20 }, ...changes },
    },
  ],
  ...rest,
})

export const bearer = (id: string, tier = "basic"): Record<string, string> => ({
  authorization: `Bearer ${accessToken({ id, tier })}`,
})

/** Sends all at once, each on a connection of its own, to the gateways in turn; how often each status came. */
export async function askAtOnce(
  gateways: readonly GatewayProcess[],
  times: number,
  headers: Record<string, string>,
  path = "/stories",
): Promise<Record<string, number>> {
  const statuses: Record<string, number> = {}
  const ask = async (i: number) => {
    const response = await fetch(gateways[i % gateways.length]!.url + path, {
      method: "POST",
      headers: { connection: "close", ...headers },
      keepalive: false,
    })
    await response.arrayBuffer()
    statuses[response.status] = (statuses[response.status] ?? 0) + 1
  }
  await Promise.all(Array.from({ length: times }, (_, i) => ask(i)))
  return statuses
}
