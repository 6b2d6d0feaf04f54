import type { Awaited } from "./patience.ts"

// What a connection of the lane is at.

/** Waiting for a request, or within its head. */
export const READING = 0
/** The exchange runs; there is no answer yet. */
export const ASKED = 1
/** The answer's body is going out. */
export const ANSWERING = 2
/** The answer is complete, the request's body is not: the rest is read and thrown away. */
export const EMPTYING = 3
/** No further answer; what the client still sends is thrown away. */
export const CLOSING = 4
/** There is no socket any more, or somebody else has it. */
export const GONE = 5

/** By state, what is waited for; while reading, it depends. */
export const AWAITED: readonly (Awaited | undefined)[] = [undefined, "answer", "answer", "rest", "close"]
