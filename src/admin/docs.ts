import { Elysia } from "elysia"
import stylePath from "swagger-ui-dist/swagger-ui.css" with { type: "file" }
import scriptPath from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" }

/** The page may run its own scripts and ask its own origin, nothing else; it works with no internet. */
const SECURITY_HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
}

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>API reference</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<main id="reference"></main>
<script src="/docs/swagger-ui.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`

const START = `SwaggerUIBundle({
  url: "/docs/json",
  dom_id: "#reference",
  validatorUrl: null,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
})
`

const hidden = { detail: { hide: true } }

const file = (body: string | Blob, type: string, cache: string): Response =>
  new Response(body, { headers: { "content-type": type, "cache-control": cache, ...SECURITY_HEADERS } })

const text = (body: string, type: string) => () => file(body, type, "no-cache")

/** Embedded in this version of the binary: a day in a cache does no harm. */
const embedded = (path: string, type: string) => async () =>
  file(new Blob([await Bun.file(path).bytes()]), type, "public, max-age=86400")

/** The API reference: a page at /docs that needs no internet, and the document it shows at /docs/json. */
export function createDocs(openApi: () => Promise<string>) {
  return new Elysia({ name: "docs" })
    .get("/docs", text(PAGE, "text/html; charset=utf-8"), hidden)
    .get("/docs/start.js", text(START, "text/javascript; charset=utf-8"), hidden)
    .get("/docs/swagger-ui.js", embedded(scriptPath, "text/javascript; charset=utf-8"), hidden)
    .get("/docs/swagger-ui.css", embedded(stylePath, "text/css; charset=utf-8"), hidden)
    .get("/docs/json", async () => file(await openApi(), "application/json", "no-cache"), hidden)
}
