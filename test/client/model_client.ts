import { type ConnectOptions, connect } from "../../src/client/connect.ts"
import { FakeTime } from "../support/fake_time.ts"
import { ModelGateway } from "../support/realtime_model.ts"

const SLICE_MS = 1000

/** A client before a model of the gateway, with time that a test moves. Random numbers are all 0.5. */
export function modelClient(options: ConnectOptions = {}) {
  const gateway = new ModelGateway()
  const time = new FakeTime()
  let ids = 0
  const environment = {
    WebSocket: gateway.WebSocket,
    now: time.now,
    after: time.after,
    random: () => 0.5,
    newId: () => `id-${++ids}`,
    ...options.environment,
  }
  const client = connect("https://gateway.test/api/v1/realtime", { ...options, environment })
  const errors: unknown[] = []
  client.on("error", (error) => errors.push(error))
  /** Moves time, and everything that is under way at least once a second. */
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= SLICE_MS) {
      time.pass(Math.min(left, SLICE_MS))
      await gateway.settle()
    }
  }
  return { gateway, time, client, errors, pass }
}

/** Data of what a subscription hands on, in order. */
export function collect(subscription: {
  on(name: "publication", listener: (publication: { data: unknown }) => unknown): unknown
}): unknown[] {
  const data: unknown[] = []
  subscription.on("publication", (publication) => void data.push(publication.data))
  return data
}
