import type { Quotas } from "../../src/policies/quotas.ts"

/** Quotas nobody has used anything of. */
export const UNUSED: Quotas = {
  take: (takes) =>
    Promise.resolve({
      kind: "quota",
      refusing: -1,
      states: takes.map(({ cost, limit }) => ({ used: cost, limit })),
    }),
  giveBack: () => undefined,
}
