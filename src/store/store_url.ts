/** Where state is kept, as config says it. */
export type StoreUrl =
  | {
      readonly kind: "sqlite"
      /** A path as written, or ":memory:". */
      readonly file: string
    }
  | { readonly kind: "postgres"; readonly url: string }

/** `sqlite:FILE`, `sqlite::memory:`, `postgres://…` or `postgresql://…`; otherwise what is wrong, without passwords. */
export function parseStoreUrl(text: string): StoreUrl | string {
  const scheme = /^([a-z]+):/.exec(text)?.[1]
  if (scheme === "sqlite") {
    // Three slashes are an absolute path, as in a URL.
    const file = text.slice("sqlite:".length).replace(/^\/\/(?=\/)/, "")
    if (file === "" || file.startsWith("//")) return "write sqlite:./gatehouse.db, with the path of a file"
    return { kind: "sqlite", file }
  }
  if (scheme !== "postgres" && scheme !== "postgresql")
    return "write sqlite:./gatehouse.db or postgres://user:password@host:5432/database"
  const url = URL.parse(text)
  if (url === null) return "not a URL; in a password, @ : / are written %40 %3A %2F"
  if (url.pathname.length < 2) return "the URL names no database: postgres://user:password@host:5432/database"
  return { kind: "postgres", url: text }
}
