import { readFileSync } from "node:fs"
import { connect } from "node:http2"
import type { Job, Opened } from "./contenders/contender.ts"
import type { AskedFor } from "./request.ts"
import type { Tokens } from "./tokens.ts"

/** How long an access log may keep its lines. */
const LOG_MS = 5000

interface Answer {
  readonly status: number
  readonly id: string
  readonly body: string
}

/** Whether a contender does what it is measured at. Throws `Error` that tells what it does not. */
export async function checkAnswers(name: string, opened: Opened, asked: AskedFor, job: Job): Promise<void> {
  const [token] = job.tokens?.valid ?? []
  const { status, id, body } = await ask(opened.port, asked, job, token)
  if (status !== 200 || !asked.expect(body))
    throw new Error(`${name} answers wrongly: ${status} ${body.slice(0, 200)}`)
  if (job.tokens === undefined) return
  if (id === "") throw new Error(`${name} gives its answer no request id`)
  await checkRefusals(name, opened, asked, job, job.tokens)
  await checkLog(name, opened, id)
}

async function checkRefusals(
  name: string,
  { port }: Opened,
  asked: AskedFor,
  job: Job,
  { wrong }: Tokens,
): Promise<void> {
  for (const [what, token] of [["absent", undefined], ...Object.entries(wrong)] as const) {
    const { status } = await ask(port, asked, job, token)
    if (status !== 401) throw new Error(`${name}: ${status} for a token ${what}, not 401`)
  }
}

/** Load that fills buffers comes later, so a few more requests are made until the line is there. */
async function checkLog(name: string, { logFile, process }: Opened, id: string): Promise<void> {
  const deadline = performance.now() + LOG_MS
  for (;;) {
    const line = readFileSync(logFile, "utf8")
      .split("\n")
      .find((each) => each.includes(id))
    if (line !== undefined) {
      const { user, status } = JSON.parse(line) as { user?: string; status?: number }
      if (user === "user_1000" && status === 200) return
      throw new Error(`${name} logs wrongly: ${line}`)
    }
    if (performance.now() > deadline)
      throw new Error(`${name} (${process.pids().join(" ")}) has not logged the request ${id}`)
    await Bun.sleep(20)
  }
}

function ask(port: number, asked: AskedFor, job: Job, token: string | undefined): Promise<Answer> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` }
  return job.tls === "h2" ? askH2(port, asked.path, headers) : askH1(port, asked, headers, job)
}

async function askH1(
  port: number,
  { path, bodyBytes }: AskedFor,
  headers: Record<string, string>,
  { tls }: Job,
): Promise<Answer> {
  const url = `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}${path}`
  const post = bodyBytes === undefined ? {} : { method: "POST", body: "x".repeat(bodyBytes) }
  const response = await fetch(url, {
    headers,
    tls: { rejectUnauthorized: false },
    keepalive: false,
    ...post,
  })
  const id = response.headers.get("x-request-id") ?? ""
  return { status: response.status, id, body: await response.text() }
}

async function askH2(port: number, path: string, headers: Record<string, string>): Promise<Answer> {
  const session = connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
  try {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    session.on("error", reject)
    const stream = session.request({ ":path": path, ...headers })
    let [status, id, body] = [0, "", ""]
    stream.on("response", (answer) => {
      status = Number(answer[":status"])
      id = String(answer["x-request-id"] ?? "")
    })
    stream.setEncoding("utf8")
    stream.on("data", (text: string) => {
      body += text
    })
    stream.on("error", reject)
    stream.on("end", () => resolve({ status, id, body }))
    stream.end()
    return await promise
  } finally {
    session.close()
  }
}
