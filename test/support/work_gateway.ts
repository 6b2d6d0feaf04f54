/**
 * A gateway in a process of its own, for whoever counts what it allocates: prints its port and serves until it is
 * ended. Arguments: the upstream's port, and a secret for tokens when it is to do the whole job.
 */

import { TestAuthenticator } from "./authenticator.ts"
import { serveGateway } from "./gateway.ts"

const [upstream, secret] = process.argv.slice(2)
const auth = { issuer: "gatehouse", audience: "api", secret }
const served = serveGateway(
  {
    services: { s: { instances: [`http://127.0.0.1:${upstream}`] } },
    routes: [{ path: "/*", service: "s" }],
    ...(secret !== undefined && {
      auth,
      defaults: { auth: {}, request_id: {}, access_log: {}, rate_limit: { by: "user", rate: "100000/s" } },
    }),
  },
  secret === undefined ? {} : { identity: new TestAuthenticator(auth).it },
)
setInterval(() => {
  ;(served.accessText as string[]).length = 0
}, 10)
console.log(served.port)
