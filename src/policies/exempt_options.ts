import { Type } from "../lib/type.ts"
import { PRIORITIES } from "../observe/priority.ts"

/** A list of names in config, none of them twice. */
export const names = (description: string) =>
  Type.Array(Type.String({ minLength: 1 }), { default: [], uniqueItems: true, description })

/** Callers whose requests a limit or quota leaves alone. `effect`: what that means, as "are not limited". */
export const exemptCallers = (effect: string) => ({
  roles: names(`Callers with one of these roles ${effect}.`),
  tiers: names(`Callers of these tiers ${effect}.`),
})

/** Classes whose requests a limit or quota leaves alone. */
export const exemptClasses = (effect: string) =>
  Type.Array(Type.Enum([...PRIORITIES]), {
    default: [],
    uniqueItems: true,
    description: `Requests of these classes of the policy \`priority\` ${effect}.`,
  })
