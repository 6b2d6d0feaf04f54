import {
  type Alias,
  Composer,
  type CST,
  type Document,
  isAlias,
  isCollection,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  Parser,
  type YAMLMap,
} from "yaml"
import { Mask } from "./mask.ts"
import { type Path, pathText } from "./problem.ts"
import {
  isForbiddenKey,
  MAX_ALIASED_VALUES,
  MAX_DEPTH,
  MAX_VALUES,
  type Place,
  type Problems,
  type Source,
  type Tree,
} from "./tree.ts"

/**
 * Reads YAML 1.2 (and so JSON too). `undefined`: it could not be read, and `problems` tells why.
 * `hidePlaceholders`: `${…}` may stand without quotes; not for JSON, where it never does.
 */
export function readYaml(
  text: string,
  problems: Problems,
  hidePlaceholders: boolean = true,
): Source | undefined {
  if (hidePlaceholders && !Mask.canHide(text)) {
    problems.add([], "the character U+E000 (private use) is not allowed")
    return undefined
  }
  const mask = new Mask(text, hidePlaceholders)
  const lines = new LineCounter()
  const tokens = [...new Parser(lines.addNewLine).parse(mask.text)]
  // The composer recurses, so depth is bounded before it runs.
  if (tokens.some(isTooDeep)) {
    problems.add([], `more than ${MAX_DEPTH} levels of nesting`)
    return undefined
  }
  const documents: Document.Parsed[] = []
  // uniqueKeys compares each key with all others, which is quadratic; the reader below has a set instead.
  const composer = new Composer({ uniqueKeys: false, prettyErrors: false, schema: "core" })
  for (const document of composer.compose(tokens)) documents.push(document as Document.Parsed)
  for (const fault of documents.flatMap((document) => [...document.errors, ...document.warnings])) {
    // What follows a colon or quote in these messages is text of the file: it may be a secret.
    const message = fault.message.split(/[:"]/)[0]!.trim()
    problems.addAt(placeAt(lines, fault.pos[0]), [], `not valid YAML: ${message}`)
  }
  if (documents.length > 1) problems.add([], "more than one YAML document; keep one, without ---")
  if (!problems.none) return undefined
  const reader = new Reader(lines, mask, problems)
  const tree = documents[0]?.contents ? reader.read(documents[0].contents, []) : null
  return { tree, places: () => reader.places }
}

function placeAt(lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset)
  return { line, column: col }
}

/** Turns nodes into values. State: what was counted, and the anchors seen so far. */
class Reader {
  readonly places = new Map<string, Place>()
  readonly #lines: LineCounter
  readonly #mask: Mask
  readonly #problems: Problems
  readonly #anchors = new Map<string, Node>()
  #values = 0
  #aliasedValues = 0
  #aliasDepth = 0
  #full = false

  constructor(lines: LineCounter, mask: Mask, problems: Problems) {
    this.#lines = lines
    this.#mask = mask
    this.#problems = problems
  }

  read(node: Node, path: Path): Tree {
    if (this.#full || !this.#count(node, path)) return null
    if (this.#aliasDepth === 0) this.#mark(node, path)
    if (isAlias(node)) return this.#readAlias(node, path)
    if ((isCollection(node) || isScalar(node)) && node.anchor !== undefined)
      this.#anchors.set(node.anchor, node)
    if (isSeq(node)) return node.items.map((item, i) => this.read(item as Node, [...path, i]))
    if (isMap(node)) return this.#readMap(node, path)
    const value = isScalar(node) ? node.value : null
    if (typeof value === "string") return this.#mask.restore(value)
    return typeof value === "number" || typeof value === "boolean" ? value : null
  }

  #count(node: Node, path: Path): boolean {
    this.#values++
    if (this.#aliasDepth > 0) this.#aliasedValues++
    let fault: string | undefined
    if (this.#values > MAX_VALUES) fault = `more than ${MAX_VALUES} values`
    if (this.#aliasedValues > MAX_ALIASED_VALUES)
      fault = `aliases stand for more than ${MAX_ALIASED_VALUES} values`
    if (path.length > MAX_DEPTH) fault = `more than ${MAX_DEPTH} levels of nesting`
    if (fault === undefined) return true
    this.#full = true
    this.#problems.addAt(this.#placeOf(node), [], fault)
    return false
  }

  #readAlias(node: Alias, path: Path): Tree {
    const target = this.#anchors.get(node.source)
    if (target === undefined) {
      this.#problems.addAt(this.#placeOf(node), path, "an alias (*name) without an anchor (&name) before it")
      return null
    }
    this.#aliasDepth++
    const value = this.read(target, path)
    this.#aliasDepth--
    return value
  }

  #readMap(node: YAMLMap, path: Path): Tree {
    const result: { [key: string]: Tree } = {}
    const own = new Set<string>()
    for (const pair of node.items) {
      const keyNode = pair.key as Node
      if (!isScalar(keyNode)) {
        this.#problems.addAt(this.#placeOf(keyNode), path, "a key must be plain text")
        continue
      }
      const key = this.#mask.restore(keyNode.source ?? String(keyNode.value))
      if (isForbiddenKey(key)) {
        this.#problems.addAt(this.#placeOf(keyNode), [...path, key], "this key is not allowed")
      } else if (key === "<<" && keyNode.type === "PLAIN") {
        this.#merge(pair.value as Node | null, path, result)
      } else if (own.has(key)) {
        this.#problems.addAt(this.#placeOf(keyNode), [...path, key], "the key is written twice")
      } else {
        own.add(key)
        if (this.#aliasDepth === 0) this.#mark(keyNode, [...path, key])
        result[key] = pair.value === null ? null : this.read(pair.value as Node, [...path, key])
      }
    }
    return result
  }

  /** `<<: *base`: the keys of another mapping, where this one does not say otherwise. Comes first in practice. */
  #merge(node: Node | null, path: Path, result: { [key: string]: Tree }): void {
    const sources = isSeq(node) ? (node.items as Node[]) : node === null ? [] : [node]
    for (const source of sources) {
      const value = this.read(source, path)
      if (value === null || typeof value !== "object" || Array.isArray(value)) {
        this.#problems.addAt(this.#placeOf(source), path, "<< takes a mapping or a list of mappings")
        continue
      }
      for (const [key, each] of Object.entries(value)) {
        if (!Object.hasOwn(result, key)) result[key] = each
      }
    }
  }

  /** A key's place wins over its value's: it is what people look for. */
  #mark(node: Node, path: Path): void {
    const text = pathText(path)
    const place = this.#placeOf(node)
    if (place && !this.places.has(text)) this.places.set(text, place)
  }

  #placeOf(node: Node | null | undefined): Place | undefined {
    return node?.range ? placeAt(this.#lines, node.range[0]) : undefined
  }
}

/** Whether collections are nested beyond the bound; without recursion, so any depth can be told. */
function isTooDeep(document: CST.Token): boolean {
  const pending: { token: CST.Token; depth: number }[] = [{ token: document, depth: 0 }]
  for (let next = pending.pop(); next; next = pending.pop()) {
    const { token, depth } = next
    if (depth > MAX_DEPTH) return true
    if (token.type === "document" && token.value) pending.push({ token: token.value, depth })
    if (!("items" in token)) continue
    for (const item of token.items) {
      if (item.key) pending.push({ token: item.key, depth: depth + 1 })
      if (item.value) pending.push({ token: item.value, depth: depth + 1 })
    }
  }
  return false
}
