import { describe } from "bun:test"
import { sharedPostgres } from "../support/postgres.ts"
import { storeSuite } from "./suite.ts"

describe("PostgreSQL", () => {
  storeSuite(async () => (await sharedPostgres()).createDatabase())
})
