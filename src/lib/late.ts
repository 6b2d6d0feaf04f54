type BufferModule = typeof import("node:buffer")
type Crypto = typeof import("node:crypto")
type Fs = typeof import("node:fs")
type Net = typeof import("node:net")
type Zlib = typeof import("node:zlib")
type Dns = typeof import("node:dns/promises")
type TypeBox = ReturnType<typeof loadTypeBox>

let buffer: BufferModule | undefined
let crypto: Crypto | undefined
let fs: Fs | undefined
let net: Net | undefined
let zlib: Zlib | undefined
let dns: Dns | undefined
let typebox: TypeBox | undefined

/** A form with more mistakes takes two rounds to fix. TypeBox stops at 8, for the whole process. */
const MAX_ERRORS = 64

/** What TypeBox checks with; its types cost nothing, and its builders are those of lib/type.ts. */
function loadTypeBox() {
  const { Compile } = require("typebox/compile") as typeof import("typebox/compile")
  const { Format } = require("typebox/format") as typeof import("typebox/format")
  const schema = require("typebox/schema") as typeof import("typebox/schema")
  const { Settings } = require("typebox/system") as typeof import("typebox/system")
  const { Value } = require("typebox/value") as typeof import("typebox/value")
  Settings.Set({ maxErrors: MAX_ERRORS })
  return { Compile, CompileJsonSchema: schema.Compile, Format, Settings, Value }
}

/**
 * Modules each loaded at their first use. Imported, they would be evaluated at the start of every thread, whether the
 * configuration needs them or not: those of the runtime take some 3 ms, or 10 where node's streams come along;
 * TypeBox is more code than all that a data plane loads else.
 */
export const late = {
  get buffer(): BufferModule {
    return (buffer ??= process.getBuiltinModule("node:buffer"))
  },
  get crypto(): Crypto {
    return (crypto ??= process.getBuiltinModule("node:crypto"))
  },
  get fs(): Fs {
    return (fs ??= process.getBuiltinModule("node:fs"))
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
  get typebox(): TypeBox {
    return (typebox ??= loadTypeBox())
  },
}
