import { CONNECTION_REFUSALS, type ConnectionRefusal, SERIES } from "./catalogue.ts"
import { type Series, seriesKey } from "./series.ts"

/** Counts the client connections of one door that reads bytes itself. */
export interface ConnectionCounts {
  opened(): void
  closed(): void
  /** Closed before anything was read. */
  refused(reason: ConnectionRefusal): void
  /** Passed on to the Serve door. */
  handedOver(): void
}

export function countConnections(series: Series): ConnectionCounts {
  const open = series.slot(seriesKey(SERIES.connections))
  const handedOver = series.slot(seriesKey(SERIES.connectionsHandedOver))
  const refused = CONNECTION_REFUSALS.map((_, i) => series.slot(seriesKey(SERIES.connectionsRefused, 0, i)))
  return {
    opened: () => series.addAt(open, 1),
    closed: () => series.addAt(open, -1),
    refused: (reason) => series.addAt(refused[CONNECTION_REFUSALS.indexOf(reason)]!, 1),
    handedOver: () => series.addAt(handedOver, 1),
  }
}
