/**
 * A message body on its way through the gateway, the same for every door and for the upstream client.
 *
 * `undefined`: the message has no body at all. A `Uint8Array`: the whole body is already here (it may be
 * empty). A `BodySource`: bytes are still to come and flow with backpressure.
 */
export type Body = Uint8Array | BodySource | undefined

/** Where bytes come from. Nothing is read ahead of `flow` beyond what the socket had already delivered. */
export interface BodySource {
  /** Bytes in the whole body; `undefined` when only the end of the message tells (chunked, close-delimited). */
  readonly length: number | undefined
  /** Starts the flow into `sink`. Called once; bytes may be written before it returns. */
  flow(sink: BodySink): void
  /** Gives more after `sink.write` has returned `false`. */
  resume(): void
  /** The whole body in one piece, instead of `flow`; rejects when the sender breaks off. Only where that is cheap. */
  bytes?(): Promise<Uint8Array>
  /** The receiver has left: stop for good and release the connection. No call to the sink follows. */
  cancel(): void
}

/** Where bytes go. */
export interface BodySink {
  /** Takes the chunk (the sink owns it from now on). `false`: full, wait for `BodySource.resume`. */
  write(chunk: Uint8Array): boolean
  /** The message is complete. */
  end(): void
  /** The source broke off in the middle: the message must not look complete to whoever reads it. */
  abort(reason: string): void
}

/** Known length of a body in bytes; 0 for none, `undefined` when only its end will tell. */
export function bodyLength(body: Body): number | undefined {
  if (body === undefined) return 0
  return body instanceof Uint8Array ? body.byteLength : body.length
}
