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

test("a certificate and its key are read as they are", async () => {
  expect(await read(FIRST_PAIR.cert, FIRST_PAIR.key)).toEqual(FIRST_PAIR)
})

test("the authorities of clients are read along, and must be certificates", async () => {
  const file = join(directory, "ca.pem")
  const pair = { cert: join(directory, "cert.pem"), key: join(directory, "key.pem") }
  await read(FIRST_PAIR.cert, FIRST_PAIR.key)
  const config = { ...pair, client_ca: file, min_version: "1.2", client_cert: "required" } as const
  writeFileSync(file, SECOND_PAIR.cert)
  expect(await readTlsPair(config)).toEqual({ ...FIRST_PAIR, ca: SECOND_PAIR.cert })
  for (const text of ["", "no certificate", SECOND_PAIR.cert.replace("MII", "xxx")]) {
    writeFileSync(file, text)
    await expect(readTlsPair(config)).rejects.toThrow("ca.pem does not hold PEM certificates")
  }
})

test("[F-64] a running listener never stops asking for certificates, nor begins to", () => {
  const asking = { ...FIRST_PAIR, ca: "old" }
  expect(sameKind(SECOND_PAIR, asking)).toEqual({ ...SECOND_PAIR, ca: "old" })
  expect(sameKind({ ...SECOND_PAIR, ca: "new" }, asking)).toEqual({ ...SECOND_PAIR, ca: "new" })
  expect(sameKind({ ...SECOND_PAIR, ca: "new" }, FIRST_PAIR)).toEqual(SECOND_PAIR)
})

test("[F-46] what cannot work is refused with the file's name and nothing of what is in it", async () => {
  const cases: readonly (readonly [cert: string | undefined, key: string, wanted: string])[] = [
    [FIRST_PAIR.cert, SECOND_PAIR.key, "does not belong to the certificate"],
    [undefined, FIRST_PAIR.key, "cert.pem cannot be read (ENOENT)"],
    ["no certificate", FIRST_PAIR.key, "cert.pem does not hold a PEM certificate"],
    [FIRST_PAIR.cert, "hunter2", "key.pem does not hold an unencrypted PEM private key"],
  ]
  for (const [cert, key, wanted] of cases) {
    const { message } = await read(cert, key).then(
      () => new Error("taken"),
      (error: Error) => error,
    )
    expect(message).toContain(wanted)
    expect(message).not.toContain("hunter2")
  }
})
