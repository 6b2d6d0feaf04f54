import type { AuthSettings } from "./settings.ts"

export type MailSettings = NonNullable<AuthSettings["mail"]>

/** What a mail is about; each is the event `auth.<this>` where there is no mail server. */
export const MAIL_SUBJECTS = {
  password_reset_requested: "Set a new password",
  email_verification_requested: "Verify your address",
  registration_repeated: "You have an account already",
  password_changed: "Your password was changed",
} as const
export type MailKind = keyof typeof MAIL_SUBJECTS

/** What came of sending. `reason`: for the log, without addresses and secrets. */
export type Sent =
  | { readonly kind: "sent" }
  /** The server will never take it (5xx). */
  | { readonly kind: "refused"; readonly reason: string }
  /** It may work later. */
  | { readonly kind: "failed"; readonly reason: string }

/** Sends one mail in plain text. Does not reject. */
export type SendMail = (
  mail: MailSettings,
  letter: { readonly to: string; readonly subject: string; readonly text: string },
) => Promise<Sent>

/** Text of a mail. `token`: what the link in it proves; only for kinds that have one. */
export function mailText(kind: MailKind, mail: MailSettings, token: string | undefined): string {
  const link = (url: string) => url.replaceAll("{token}", token ?? "")
  switch (kind) {
    case "password_reset_requested":
      return lines(
        "Somebody asked for a new password for the account with this address. To set one, open within an hour:",
        link(mail.reset_url),
        "If it was not you, nothing has changed, and there is nothing to do.",
      )
    case "email_verification_requested":
      return lines(
        "An account was made with this address. To verify that the address is yours, open within two days:",
        link(mail.verify_url),
        "If it was not you, do not open it.",
      )
    case "registration_repeated":
      return lines(
        "Somebody tried to make an account with this address, but there is one already.",
        "If it was you, sign in with it, or ask for a new password. If not, there is nothing to do.",
      )
    case "password_changed":
      return lines(
        "The password of the account with this address was changed, and all other sign-ins were ended.",
        "If it was not you, ask for a new password at once.",
      )
  }
}

const lines = (...paragraphs: string[]) => `${paragraphs.join("\n\n")}\n`
