/**
 * `bun store_process.ts URL NAME COUNT`: opens a store and inserts rows NAME-0, NAME-1, …; prints each number when
 * its row is acknowledged. COUNT 0: until it is killed. Every third row comes in a transaction with a second one.
 */
import { openStore } from "../../src/store/open.ts"
import { storeDeps } from "./store.ts"

const [, , url = "", name = "", count = "0"] = process.argv
const store = await openStore(url, storeDeps())
await store.run("CREATE TABLE IF NOT EXISTS acknowledged (id TEXT PRIMARY KEY, twin TEXT)")
await store.run("CREATE TABLE IF NOT EXISTS twins (id TEXT PRIMARY KEY)")
for (let i = 0; Number(count) === 0 || i < Number(count); i++) {
  const id = `${name}-${i}`
  if (i % 3 !== 0) await store.run("INSERT INTO acknowledged (id) VALUES ($1)", [id])
  else
    await store.transaction(async (sql) => {
      await sql.run("INSERT INTO twins (id) VALUES ($1)", [id])
      await sql.run("INSERT INTO acknowledged (id, twin) VALUES ($1, $1)", [id])
    })
  await Bun.write(Bun.stdout, `${i}\n`)
}
await store.close()
