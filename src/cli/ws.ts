import { createInterface } from "node:readline"
import type { Readable } from "node:stream"
import { connect, type RealtimeClient, type Subscription } from "../client/connect.ts"
import { parseCommand } from "./args.ts"
import { EXIT, type Output } from "./output.ts"
import { usageError } from "./usage.ts"

const FLAGS = { channel: { type: "string" }, token: { type: "string" } } as const

/** Somebody sits and waits. */
const MAX_BACKOFF_MS = 5000

/**
 * `gatehouse ws URL --channel NAME`: publishes lines of the input and prints what is published, across lost
 * connections. Ends with the input, or with the client.
 */
export async function ws(
  args: readonly string[],
  output: Output,
  input: Readable = process.stdin,
): Promise<number> {
  const parsed = parseCommand(args, FLAGS, ["URL"])
  if (!parsed.ok) return usageError("ws", parsed.message, output)
  const { channel, token = process.env.GATEHOUSE_TOKEN } = parsed.values as Partial<
    Record<keyof typeof FLAGS, string>
  >
  if (channel === undefined) return usageError("ws", "--channel must name a channel", output)
  let client: RealtimeClient
  try {
    client = connect(parsed.positionals[0]!, { token, maxBackoffMs: MAX_BACKOFF_MS })
  } catch (error) {
    return usageError("ws", (error as Error).message, output)
  }
  return talk(client, client.subscribe(channel), output, input)
}

async function talk(
  client: RealtimeClient,
  subscription: Subscription,
  output: Output,
  input: Readable,
): Promise<number> {
  const tell = (text: string): void => output.err(`-- ${text}\n`)
  const failed = (error: unknown): void => tell(error instanceof Error ? error.message : String(error))
  client.on("error", failed)
  client.on("disconnected", ({ code, reason, retryInMs }) => {
    const next = retryInMs === undefined ? "" : `; trying again in ${Math.ceil(retryInMs / 1000)} s`
    tell(`disconnected: ${reason === "" ? code : reason}${next}`)
  })
  subscription.on("subscribed", () => tell(`listening to ${subscription.channel}`))
  subscription.on("recovered", ({ publications, more }) =>
    tell(`back, ${publications}${more ? " or more" : ""} missed:`),
  )
  subscription.on("lost", () => tell("something was missed that cannot be had any more"))
  subscription.on("join", ({ client: id, user = id }) => tell(`${user} has come`))
  subscription.on("leave", ({ client: id, user = id }) => tell(`${user} has gone`))
  subscription.on("publication", ({ data, publisher }) => {
    const text = typeof data === "string" ? data : JSON.stringify(data)
    output.out(publisher === undefined ? `${text}\n` : `${publisher.user}: ${text}\n`)
  })
  const lines = createInterface({ input })
  // Whichever comes first: the end of the input, or of what there is to listen to.
  const over = new Promise<boolean>((resolve) => {
    lines.once("close", () => resolve(true))
    subscription.on("unsubscribed", ({ reason }) => {
      tell(reason)
      resolve(false)
    })
  })
  const published: Promise<unknown>[] = []
  lines.on("line", (line) => {
    if (line !== "") published.push(client.publish(subscription.channel, line).catch(failed))
  })
  const fine = await over
  lines.close()
  if (fine) await Promise.all(published)
  client.close()
  return fine ? EXIT.fine : EXIT.cannotStart
}
