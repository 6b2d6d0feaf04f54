import { describe } from "bun:test"
import { startFrameProxy } from "./frame_proxy.ts"
import { startWsProxy } from "./ws_proxy.ts"

/** What a relay passes on. */
export type RelayKind = "messages" | "frames"

/** The tests that `define` defines, once for each relay: what both ends may rely on holds for both. */
export function throughBothRelays(define: (start: typeof startWsProxy, relay: RelayKind) => void): void {
  describe("relay of messages", () => define(startWsProxy, "messages"))
  describe("relay of frames", () => define(startFrameProxy as typeof startWsProxy, "frames"))
}
