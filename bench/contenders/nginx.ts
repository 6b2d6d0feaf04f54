import { type Contender, versionOf, which } from "./contender.ts"

/** The start of every nginx config here, up to within `http {`. What nginx writes goes to `directory`. */
export const nginxHead = (
  directory: string,
): string => `worker_processes 1; daemon off; error_log stderr crit; pid ${directory}/pid;
events { worker_connections 8192; }
http { access_log off; keepalive_requests 100000000; keepalive_timeout 300s;
  client_body_temp_path ${directory}/body; proxy_temp_path ${directory}/proxy;
  fastcgi_temp_path ${directory}/fastcgi; uwsgi_temp_path ${directory}/uwsgi; scgi_temp_path ${directory}/scgi;`

export const nginx: Contender = {
  name: "nginx",
  needs: "nginx",
  kind: "peer",
  version: () => versionOf("nginx", "-v"),
  configure({ tls }, { port, upstreamPort, directory, certificate, write }) {
    const listen = tls === undefined ? "" : tls === "h2" ? "ssl http2" : "ssl"
    const ssl =
      tls === undefined ? "" : `ssl_certificate ${certificate.cert}; ssl_certificate_key ${certificate.key};`
    const config = write(
      "nginx.conf",
      `${nginxHead(directory)}
  # Bodies of the benchmark stay in memory.
  client_body_buffer_size 64k; proxy_buffers 16 32k; proxy_buffer_size 16k; proxy_busy_buffers_size 256k;
  proxy_max_temp_file_size 0;
  upstream up { server 127.0.0.1:${upstreamPort}; keepalive 512; keepalive_requests 100000000; }
  server { listen 127.0.0.1:${port} ${listen} backlog=8192; ${ssl}
    location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; } } }`,
    )
    return { command: [which("nginx"), "-c", config] }
  },
}
