type Crypto = typeof import("node:crypto")
type Net = typeof import("node:net")
type Zlib = typeof import("node:zlib")
type Dns = typeof import("node:dns/promises")

let crypto: Crypto | undefined
let net: Net | undefined
let zlib: Zlib | undefined
let dns: Dns | undefined

/**
 * Modules of the runtime that bring node's streams along, each loaded at its first use. Imported, they would be
 * evaluated at the start of every thread, some 10 ms, whether the configuration needs them or not.
 */
export const late = {
  get crypto(): Crypto {
    return (crypto ??= process.getBuiltinModule("node:crypto"))
  },
  get net(): Net {
    return (net ??= process.getBuiltinModule("node:net"))
  },
  get zlib(): Zlib {
    return (zlib ??= process.getBuiltinModule("node:zlib"))
  },
  get dns(): Dns {
    return (dns ??= process.getBuiltinModule("node:dns/promises"))
  },
}
