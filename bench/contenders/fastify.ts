import httpProxy from "@fastify/http-proxy/package.json" with { type: "json" }
import { type Contender, versionOf, which } from "./contender.ts"
import { program } from "./program.ts"

/** `@fastify/http-proxy` on Node. */
export const fastify: Contender = {
  name: "Fastify on Node",
  needs: "node",
  kind: "javascript",
  version: () => `http-proxy ${httpProxy.version}, Node ${versionOf("node", "--version")}`,
  configure: (job, site) => ({
    command: [which("node"), ...program("fastify_proxy.mjs", job, site)],
    env: { NODE_ENV: "production" },
  }),
}
