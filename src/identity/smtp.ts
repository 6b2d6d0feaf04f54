import type { SendMail } from "./mail.ts"

const CONNECT_MS = 10_000
const SOCKET_MS = 20_000

/**
 * Sends by SMTP, one connection a mail. STARTTLS is used where the server offers it, and required before a password
 * is sent to another machine. The library is loaded with the first mail.
 */
export const sendBySmtp: SendMail = async ({ smtp, from }, { to, subject, text }) => {
  try {
    const { createTransport } = await import("nodemailer")
    const { hostname, username } = new URL(smtp)
    const transport = createTransport({
      url: smtp,
      connectionTimeout: CONNECT_MS,
      greetingTimeout: CONNECT_MS,
      socketTimeout: SOCKET_MS,
      requireTLS: username !== "" && !isLoopback(hostname) && !smtp.startsWith("smtps:"),
      disableFileAccess: true,
      disableUrlAccess: true,
    })
    try {
      await transport.sendMail({ from, to, subject, text })
    } finally {
      transport.close()
    }
    return { kind: "sent" }
  } catch (error) {
    // Its message may repeat addresses and what the server said.
    const { code = "unknown", responseCode } = error as { code?: string; responseCode?: number }
    if (responseCode !== undefined && responseCode >= 500 && code === "EENVELOPE")
      return { kind: "refused", reason: `${code} ${responseCode}` }
    return { kind: "failed", reason: responseCode === undefined ? code : `${code} ${responseCode}` }
  }
}

const isLoopback = (host: string) => host === "localhost" || host === "[::1]" || host.startsWith("127.")
