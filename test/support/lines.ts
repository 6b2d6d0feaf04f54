import { LineBuffer, type Lines } from "../../src/observe/line_buffer.ts"

/** A log whose lines are in the list, without their line ends, as soon as they are written. */
export function linesInto(list: string[]): Lines {
  return new LineBuffer({
    write: (batch) => void list.push(batch.slice(0, -1)),
    onDropped: () => {
      throw new Error("a line was dropped")
    },
    flushLength: 1,
  })
}
