#!/usr/bin/env bash
# Builds, tests and measures Gatehouse.
#   ./build.sh          install, type-check, compile dist/gatehouse
#   ./build.sh test     lint, types, architecture, every test; ends with "N passed, N failed"
#   ./build.sh bench …  the benchmarks in bench/ (see bench/README.md)
set -euo pipefail
cd "$(dirname "$0")"

BUN_VERSION=1.4.4

# Bun of the exact version: from the path, or from npm.
find_bun() {
  if [ "$(bun --version 2>/dev/null || true)" = "$BUN_VERSION" ]; then
    BUN=$(command -v bun)
  else
    command -v npx >/dev/null || { echo "build.sh: needs Bun $BUN_VERSION, or npx (Node.js) to get it from npm" >&2; exit 1; }
    BUN=$(npx --yes "--package=bun@$BUN_VERSION" -- sh -c 'command -v bun')
  fi
  PATH="$(dirname "$BUN"):$PATH"
  export PATH
}

install() {
  bun install --frozen-lockfile
}

compile() {
  node_modules/.bin/tsc
  mkdir -p dist
  # Split: a thread loads only the pieces it needs; as one text of everything, that took a sixth of the start.
  bun build --compile --production --minify --bytecode --sourcemap --format=esm --splitting \
    --no-compile-autoload-dotenv --no-compile-autoload-bunfig \
    --outfile dist/gatehouse src/main.ts src/cli/worker.ts
  # The binary has them inside.
  rm -f dist/*.map
  compile_client
}

# dist/client: the realtime client as an npm package without dependencies.
compile_client() {
  rm -rf dist/client
  bun build --target browser --format esm --outfile dist/client/client.js src/client/connect.ts
  node_modules/.bin/tsc --project src/client/tsconfig.json
  sed -i 's|\(from "\./[^"]*\)\.ts"|\1.js"|' dist/client/types/*.d.ts
  bun -e 'import { version, license } from "./package.json"
    const types = "./types/connect.d.ts"
    const exports = { ".": { types, default: "./client.js" } }
    const description = "A client of the realtime endpoint of Gatehouse"
    const files = ["client.js", "types"]
    const text = { name: "gatehouse-client", version, description, license, type: "module", sideEffects: false, files, exports, types }
    await Bun.write("dist/client/package.json", JSON.stringify(text, undefined, 2) + "\n")'
}

find_bun
install
case "${1:-build}" in
  build) compile ;;
  test) shift; compile; exec bun test/run.ts "$@" ;;
  bench) shift; compile; exec bun bench/run.ts "$@" ;;
  *) echo "usage: ./build.sh [test|bench [scenario…]]" >&2; exit 1 ;;
esac
