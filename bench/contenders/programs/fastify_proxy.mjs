import httpProxy from "@fastify/http-proxy"
import Fastify from "fastify"
import { createJob } from "./whole_job.mjs"

const settings = JSON.parse(process.argv[2])
const app = Fastify({ logger: false })
const proxy = {
  upstream: `http://127.0.0.1:${settings.upstreamPort}`,
  undici: { connections: 512, pipelining: 1 },
}
if (settings.job !== undefined) {
  const job = createJob(settings.job)
  proxy.preHandler = async (request, reply) => {
    const ticket = job.admit(request.headers.authorization)
    request.ticket = ticket
    request.headers["x-request-id"] = ticket.id
    reply.header("x-request-id", ticket.id)
    if (ticket.status !== 0) await reply.code(ticket.status).send({ error: "refused" })
  }
  app.decorateRequest("ticket", null)
  app.addHook("onResponse", async (request, reply) => {
    job.finish(request.ticket, request.method, request.url, reply.statusCode)
  })
}
await app.register(httpProxy, proxy)
await app.listen({ host: "127.0.0.1", port: settings.port, backlog: 8192 })
