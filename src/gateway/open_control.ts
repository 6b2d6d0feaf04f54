import { Control } from "./control.ts"
import type { ControlOptions } from "./control_options.ts"
import { StartError } from "./supervisor.ts"
import { readTlsPair } from "./tls_pair.ts"

/** Reads the certificate, starts the workers. Rejects with `StartError`, whose message is for the operator. */
export async function openControl(options: ControlOptions): Promise<Control> {
  const { tls } = options.config.server
  let control: Control
  try {
    control = new Control(options, tls && readTlsPair(tls))
  } catch (error) {
    throw new StartError((error as Error).message)
  }
  // Before clients are answered: who is blocked elsewhere gets no answer here either.
  await control.blockSync?.start()
  await control.start()
  return control
}
