import { afterAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { readTlsPair, sameKind } from "../../src/gateway/tls_pair.ts"
import { FIRST_PAIR, SECOND_PAIR } from "../support/server_pairs.ts"

const directory = mkdtempSync(join(tmpdir(), "gatehouse-pair-"))
afterAll(() => rmSync(directory, { recursive: true }))

function read(cert: string | undefined, key: string) {
  const files = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") }
  rmSync(files.cert, { force: true })
  if (cert !== undefined) writeFileSync(files.cert, cert)
  writeFileSync(files.key, key)
  return readTlsPair({ ...files, min_version: "1.2", client_cert: "required" })
}

function thrownBy(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    return (error as Error).message
  }
  return "nothing"
}

test("a certificate and its key are read as they are", () => {
  expect(read(FIRST_PAIR.cert, FIRST_PAIR.key)).toEqual(FIRST_PAIR)
})

test("the authorities of clients are read along, and must be certificates", () => {
  const file = join(directory, "ca.pem")
  const pair = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") }
  read(FIRST_PAIR.cert, FIRST_PAIR.key)
  const config = { ...pair, client_ca: file, min_version: "1.2", client_cert: "required" } as const
  writeFileSync(file, SECOND_PAIR.cert)
  expect(readTlsPair(config)).toEqual({ ...FIRST_PAIR, ca: SECOND_PAIR.cert })
  for (const text of ["", "no certificate", SECOND_PAIR.cert.replace("MII", "xxx")]) {
    writeFileSync(file, text)
    expect(() => readTlsPair(config)).toThrow("ca.pem: the file is not PEM certificates")
  }
})

test("[F-64] a running listener never stops asking for certificates, nor begins to", () => {
  const asking = { ...FIRST_PAIR, ca: "old" }
  expect(sameKind(SECOND_PAIR, asking)).toEqual({ ...SECOND_PAIR, ca: "old" })
  expect(sameKind({ ...SECOND_PAIR, ca: "new" }, asking)).toEqual({ ...SECOND_PAIR, ca: "new" })
  expect(sameKind({ ...SECOND_PAIR, ca: "new" }, FIRST_PAIR)).toEqual(SECOND_PAIR)
})

test("[F-46] what cannot work is refused with the file's name and nothing of what is in it", () => {
  const cases: readonly (readonly [cert: string | undefined, key: string, wanted: string])[] = [
    [FIRST_PAIR.cert, SECOND_PAIR.key, "does not belong to the certificate"],
    [undefined, FIRST_PAIR.key, "cert.pem: there is no such file"],
    ["no certificate", FIRST_PAIR.key, "cert.pem: the file is not a PEM certificate"],
    [FIRST_PAIR.cert, "hunter2", "key.pem: the file is not a PEM private key without a passphrase"],
  ]
  for (const [cert, key, wanted] of cases) {
    const told = thrownBy(() => read(cert, key))
    expect(told).toContain(wanted)
    expect(told).not.toContain("hunter2")
  }
})
