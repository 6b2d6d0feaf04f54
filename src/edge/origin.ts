import type { ClientCertificate } from "../identity/certificate.ts"

/** The port a connection was accepted on. */
export interface Listener {
  /** Its certificate has a successor: its connections are told to close. */
  retired: boolean
}

/** Who stands behind a connection that another door has taken and handed over. */
export interface Origin {
  /** Address of the connected client, IPv4-mapped IPv6 written as IPv4. */
  readonly address: string
  readonly scheme: "http" | "https"
  /** Verified; `undefined`: none was asked for or shown. */
  readonly certificate: ClientCertificate | undefined
  readonly listener: Listener
}

/** Far end of a connection to the inner door, as its runtime tells it. */
export interface InnerPeer {
  readonly address: string
  readonly port: number
}

/** Answers the inner door. */
export interface Origins {
  /** Who stands behind a connection; `undefined`: it was not handed over, and must be refused. */
  originOf(peer: InnerPeer | null): Origin | undefined
}
