import { type Path, type Problem, pathText } from "./problem.ts"

/** What a config file holds before anything is known of its meaning: JSON values. */
export type Tree = null | boolean | number | string | Tree[] | { [key: string]: Tree }

export interface Place {
  /** From 1. */
  readonly line: number
  readonly column: number
}

/** A parsed file, with the place of each value where the format tells. */
export interface Source {
  readonly tree: Tree
  readonly places: Places
}

/** Places by `pathText`. A function: they may be found only when there is a problem to tell of. */
export type Places = () => ReadonlyMap<string, Place>

const NONE: ReadonlyMap<string, Place> = new Map()
/** Of a format that does not tell places. */
export const noPlaces: Places = () => NONE

/** Bounds of a config, far beyond any real one: what is larger is an accident or an attack. */
export const MAX_BYTES = 8 * 1024 * 1024
export const MAX_DEPTH = 64
export const MAX_VALUES = 1_000_000
/** Values that may come from aliases: YAML's way to write a small file that is huge in memory. */
export const MAX_ALIASED_VALUES = 100_000

/** Keys that would reach an object's prototype instead of the object. */
export function isForbiddenKey(key: string): boolean {
  return key === "__proto__"
}

/** Collects problems, each with its place in the file. */
export class Problems {
  readonly list: Problem[] = []
  places: Places = noPlaces

  get none(): boolean {
    return this.list.length === 0
  }

  /** The line is the value's own, or that of the nearest thing around it that has one. */
  add(path: Path, message: string, value?: string): void {
    this.list.push({ path: pathText(path), message, value, ...this.#placeOf(path) })
  }

  addAt(place: Place | undefined, path: Path, message: string): void {
    this.list.push({ path: pathText(path), message, ...place })
  }

  #placeOf(path: Path): Partial<Place> {
    const places = this.places()
    for (let length = path.length; length > 0; length--) {
      const place = places.get(pathText(path.slice(0, length)))
      if (place) return place
    }
    return {}
  }
}
