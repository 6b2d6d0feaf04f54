import { createJob } from "./whole_job.mjs"

const settings = JSON.parse(process.argv[2])
const job = settings.job && createJob(settings.job)

const forward = (request, path) =>
  fetch(`http://127.0.0.1:${settings.upstreamPort}${path}`, {
    method: request.method,
    headers: request.headers,
    body: request.body,
    redirect: "manual",
    decompress: false,
    signal: request.signal,
  })

const pathOf = ({ url }) => url.slice(url.indexOf("/", 8))

async function wholeJob(request) {
  const ticket = job.admit(request.headers.get("authorization"))
  const path = pathOf(request)
  let response
  if (ticket.status === 0) {
    request.headers.set("x-request-id", ticket.id)
    response = await forward(request, path)
  } else {
    response = Response.json({ error: "refused" }, { status: ticket.status })
  }
  response.headers.set("x-request-id", ticket.id)
  job.finish(ticket, request.method, path, response.status)
  return response
}

Bun.serve({
  port: settings.port,
  hostname: "127.0.0.1",
  development: false,
  fetch: job === undefined ? (request) => forward(request, pathOf(request)) : wholeJob,
})
