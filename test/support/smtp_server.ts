import type { Socket } from "bun"

export interface Letter {
  readonly from: string
  readonly to: readonly string[]
  /** As it was sent: headers, an empty line, the text. */
  readonly data: string
}

export interface SmtpServer {
  readonly url: string
  readonly letters: readonly Letter[]
  /** Logins and passwords shown, base64 as they were sent. */
  readonly logins: readonly string[]
  /** What RCPT is answered with from now on; default "250 OK". */
  answerRecipient(line: string): void
  close(): void
}

interface Session {
  text: string
  from: string
  to: string[]
  inData: boolean
}

/** A mail server on loopback that keeps what it gets (RFC 5321). Offers AUTH PLAIN, no TLS. */
export function startSmtpServer(): SmtpServer {
  const letters: Letter[] = []
  const logins: string[] = []
  let recipientAnswer = "250 OK"

  function takeLine(socket: Socket<Session>, line: string): void {
    const session = socket.data
    const say = (text: string) => socket.write(`${text}\r\n`)
    const verb = line.slice(0, 4).toUpperCase()
    if (verb === "EHLO") say("250-mail.example\r\n250-AUTH PLAIN\r\n250 8BITMIME")
    else if (verb === "AUTH") {
      logins.push(line.slice(11))
      say("235 OK")
    } else if (verb === "MAIL") {
      session.from = line
      session.to = []
      say("250 OK")
    } else if (verb === "RCPT") {
      session.to.push(line)
      say(recipientAnswer)
    } else if (verb === "DATA") {
      session.inData = true
      say("354 go on")
    } else if (verb === "QUIT") {
      say("221 bye")
      socket.end()
    } else if (verb === "STAR") say("502 no TLS here")
    else say("250 OK")
  }

  const server = Bun.listen<Session>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { text: "", from: "", to: [], inData: false }
        socket.write("220 mail.example ESMTP\r\n")
      },
      data(socket, bytes) {
        const session = socket.data
        session.text += bytes.toString()
        for (;;) {
          const mark = session.inData ? "\r\n.\r\n" : "\r\n"
          const end = session.text.indexOf(mark)
          if (end === -1) return
          const part = session.text.slice(0, end)
          session.text = session.text.slice(end + mark.length)
          if (!session.inData) takeLine(socket, part)
          else {
            session.inData = false
            letters.push({ from: session.from, to: session.to, data: part })
            socket.write("250 queued\r\n")
          }
        }
      },
    },
  })
  return {
    url: `smtp://127.0.0.1:${server.port}`,
    letters,
    logins,
    answerRecipient(line) {
      recipientAnswer = line
    },
    close: () => server.stop(true),
  }
}
