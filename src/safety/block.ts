import type { Violation } from "../observe/catalogue.ts"

/** Why a client is blocked: the violation that made its score too high, or an operator's word. */
export type BlockReason = Violation | "operator"

/** A client that is kept out for a time. Plain data, so that it can be told to others. */
export interface Block {
  /** Rises with each block of this process. */
  readonly id: number
  /** Names it on all machines. */
  readonly uid: string
  /** As lib/client_network.ts writes it: an IPv4 address, or the first 64 bits of an IPv6 address. */
  readonly client: string
  readonly reason: BlockReason
  /** What the operator noted; "" for none. */
  readonly note: string
  /** How many times in a row, this one included; 0 for those by hand, which do not count. */
  readonly times: number
  /** Both on the clock of lib/clock.ts, which all threads of the machine share. */
  readonly startedAtMs: number
  readonly untilMs: number
}

/** How often a client was found out in a row. */
export interface BlockLevel {
  /** Since when it is so; clock of `Block`. */
  readonly atMs: number
  /** 0: it was forgiven then. */
  readonly times: number
  readonly forgottenAtMs: number
}

/** The end of a block by an operator, who may have set another in its place. */
export interface BlockLift {
  /** `uid` of the block. */
  readonly uid: string
  /** Blocks that began until then are over. */
  readonly atMs: number
  /** Until when it must be remembered. */
  readonly keptUntilMs: number
}

/** What machines tell each other of one client. */
export interface ClientState {
  readonly client: string
  readonly lift: BlockLift | undefined
  readonly block: Omit<Block, "id"> | undefined
  readonly level: BlockLevel | undefined
}

/** What a worker must know of a block. */
export interface BlockEntry {
  readonly client: string
  readonly untilMs: number
  /** Holds in shadow mode and without the section `abuse` too. */
  readonly byHand: boolean
}

/** What has changed since the last one. */
export interface BlockChange {
  readonly blocked: readonly BlockEntry[]
  /** Clients whose block has ended. */
  readonly ended: readonly string[]
}

export const entryOf = ({ client, untilMs, reason }: Block): BlockEntry => ({
  client,
  untilMs,
  byHand: reason === "operator",
})
