import { afterEach, expect, test } from "bun:test"
import type { MailCause } from "../../src/identity/outbox.ts"
import { createMailOutbox } from "../../src/identity/outbox.ts"
import { sendBySmtp } from "../../src/identity/smtp.ts"
import { openAccounts, PASSWORD } from "../support/accounts.ts"
import { freePort } from "../support/nginx.ts"
import { startSmtpServer } from "../support/smtp_server.ts"
import { closeStores } from "../support/store.ts"

let closers: (() => void)[] = []
afterEach(async () => {
  for (const close of closers) close()
  closers = []
  await closeStores()
})

const mailOf = (smtp: string) => ({
  smtp,
  from: "Gate <gate@example.com>",
  reset_url: "https://app.example/reset?t={token}",
  verify_url: "https://app.example/verify/{token}",
})

function startServer() {
  const server = startSmtpServer()
  closers.push(server.close)
  return server
}

async function openMail(smtp: string) {
  const world = await openAccounts({
    auth: { registration: { enabled: true }, mail: mailOf(smtp) },
    send: sendBySmtp,
  })
  const { accounts, store } = world
  const add = (cause: MailCause, login = "ann@example.com") => accounts.outbox.add(store, cause, login)
  return { ...world, add }
}

/** Quoted-printable undone. */
const textOf = (data: string) =>
  data
    .replace(/=\r\n/g, "")
    .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))

test("[V-auth.7] a reset goes out by SMTP, with a link whose token works, and nothing of it is kept", async () => {
  const server = startServer()
  const { ask, addUser, deliver, logIn, log, counts } = await openMail(server.url)
  await addUser("ann@example.com")
  await ask("POST", "/auth/password/forgot", { body: { email: "ANN@example.com" } })
  expect(await deliver()).toEqual([])
  const [letter] = server.letters
  expect(letter!.from).toContain("<gate@example.com>")
  expect(letter!.to).toEqual(["RCPT TO:<ann@example.com>"])
  expect(letter!.data).toContain("Subject: Set a new password")
  const token = /https:\/\/app\.example\/reset\?t=(\S+)/.exec(textOf(letter!.data))![1]
  await ask("POST", "/auth/password/reset", { body: { token, password: "something else entirely" } })
  expect((await logIn("ann@example.com", "something else entirely")).status).toBe(200)
  expect(counts.get("mail success")).toBe(1)
  expect(log.events).toEqual([])
})

test("[V-auth.7] whoever's password was changed is told", async () => {
  const server = startServer()
  const { addUser, add, deliver } = await openMail(server.url)
  await addUser("ann@example.com")
  await add("password_changed")
  await deliver()
  expect(server.letters[0]!.data).toContain("Your password was changed")
})

test("[V-auth.1] registration sends a link to verify; a second one once verified says that there is an account", async () => {
  const server = startServer()
  const { ask, deliver } = await openMail(server.url)
  const body = { email: "ann@example.com", password: PASSWORD }
  await ask("POST", "/auth/register", { body })
  await deliver()
  const token = /https:\/\/app\.example\/verify\/(\S+)/.exec(textOf(server.letters[0]!.data))![1]
  expect((await ask("POST", "/auth/email/verify", { body: { token, password: PASSWORD } })).status).toBe(200)
  await ask("POST", "/auth/register", { body })
  await deliver()
  expect(server.letters[1]!.data).toContain("You have an account already")
})

test("a server that is away is tried again with growing delays; then the mail is kept as an event and the log says so", async () => {
  const { addUser, add, deliver, pass, log, counts } = await openMail(`smtp://127.0.0.1:${freePort()}`)
  await addUser("ann@example.com")
  await add("password_reset")
  const attempts: unknown[] = []
  for (let waited = 0; waited <= 640_000; waited += 5000) {
    const [event] = await deliver()
    if (event!.type !== "mail.password_reset") break
    if (event!.payload.attempts !== attempts.at(-1)) attempts.push(event!.payload.attempts)
    pass(5000)
  }
  expect(attempts).toEqual([1, 2, 3, 4, 5, 6, 7] as unknown[])
  expect((await deliver()).map(({ type }) => type)).toEqual(["auth.password_reset_requested"])
  expect(counts.get("mail failure")).toBe(8)
  expect(log.events).toEqual([
    {
      level: "error",
      event: "mail.failed",
      fields: { about: "password_reset_requested", reason: expect.any(String), attempts: 8 },
    },
  ])
  expect(JSON.stringify(log.events)).not.toContain("ann@")
})

test("a server that recovers gets the mail, with a token that is good", async () => {
  const server = startServer()
  server.answerRecipient("451 later")
  const { ask, addUser, add, deliver, pass } = await openMail(server.url)
  await addUser("ann@example.com")
  await add("password_reset")
  await deliver()
  server.answerRecipient("250 OK")
  await deliver()
  expect(server.letters).toHaveLength(0)
  pass(5000)
  expect(await deliver()).toEqual([])
  const token = /reset\?t=(\S+)/.exec(textOf(server.letters[0]!.data))![1]
  const answer = await ask("POST", "/auth/password/reset", {
    body: { token, password: "something else entirely" },
  })
  expect(answer.status).toBe(200)
})

test("an address the server will never take is not tried again", async () => {
  const server = startServer()
  server.answerRecipient("550 no such user ann@example.com")
  const { addUser, add, deliver, log } = await openMail(server.url)
  await addUser("ann@example.com")
  await add("password_reset")
  expect((await deliver()).map(({ type }) => type)).toEqual(["auth.password_reset_requested"])
  expect(log.events[0]!.fields).toEqual({
    about: "password_reset_requested",
    reason: "EENVELOPE 550",
    attempts: 1,
  })
})

test("two gateways of one store send a mail once", async () => {
  const server = startServer()
  const { addUser, add, accounts, context } = await openMail(server.url)
  const other = createMailOutbox(context, sendBySmtp, () => () => undefined)
  await addUser("ann@example.com")
  for (let i = 0; i < 5; i++) await add("password_changed")
  await Promise.all([accounts.outbox.deliver(), other.deliver()])
  expect(server.letters).toHaveLength(5)
})

test("nothing is sent to accounts that are gone, disabled or without an address", async () => {
  const server = startServer()
  const { addUser, add, deliver } = await openMail(server.url)
  await addUser("kim")
  await addUser("off@example.com", { status: "disabled" })
  for (const login of ["kim", "off@example.com", "ghost@example.com"]) await add("password_reset", login)
  expect(await deliver()).toEqual([])
  expect(server.letters).toEqual([])
})

test("user and password of the mail server are used, and are in no log when it fails", async () => {
  const server = startServer()
  const url = server.url.replace("smtp://", "smtp://mailer:s3cret-word@")
  const { addUser, add, deliver, log } = await openMail(url)
  await addUser("ann@example.com")
  await add("password_changed")
  await deliver()
  expect(Buffer.from(server.logins[0]!, "base64").toString()).toBe("\0mailer\0s3cret-word")
  server.answerRecipient("550 no")
  await add("password_changed")
  await deliver()
  expect(log.events).toHaveLength(1)
  expect(JSON.stringify(log.events)).not.toContain("s3cret")
})

test("the password of the mail server goes to another machine by TLS only", async () => {
  const server = startServer()
  const url = server.url.replace("smtp://127.0.0.1", "smtp://mailer:s3cret-word@[::ffff:127.0.0.1]")
  const sent = await sendBySmtp(mailOf(url), { to: "ann@example.com", subject: "x", text: "y" })
  expect(sent.kind).toBe("failed")
  expect(server.logins).toEqual([])
})

test("mail that waits for another try, however much of it, does not hold up other mail", async () => {
  const server = startServer()
  server.answerRecipient("451 later")
  const { addUser, add, deliver } = await openMail(server.url)
  for (let i = 0; i < 100; i++) {
    await addUser(`mallory${i}@example.com`)
    await add("password_reset", `mallory${i}@example.com`)
  }
  await deliver()
  server.answerRecipient("250 OK")
  await addUser("ann@example.com")
  await add("password_reset")
  await deliver()
  expect(server.letters.flatMap(({ to }) => to)).toEqual(["RCPT TO:<ann@example.com>"])
})
