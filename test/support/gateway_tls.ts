import { connect } from "node:tls"

/** Serial number of the certificate a TLS port shows now. */
export function serialOf(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port, servername: "localhost", rejectUnauthorized: false })
    socket.on("secureConnect", () => {
      resolve(socket.getPeerCertificate().serialNumber)
      socket.destroy()
    })
    socket.on("error", reject)
  })
}
