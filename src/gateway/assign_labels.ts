import type { Config } from "../config/schema.ts"
import { instanceLabel, type LabelDirectory } from "../observe/labels.ts"
import { limitsOf, nameOf } from "../policies/limit_options.ts"
import { instanceUrl } from "../upstream/slots.ts"
import type { Generation } from "./protocol.ts"
import { routeLabel } from "./route.ts"
import type { BuiltinRoute } from "./snapshot.ts"

const builtinLabel = ({ path, methods }: BuiltinRoute): string =>
  routeLabel({ path, methods: [...methods], hosts: [] })

/** Metric ids of every name a configuration brings; names known from earlier keep theirs. `now`: monotonic, in ms. */
export function assignLabels(
  directory: LabelDirectory,
  config: Config,
  builtins: readonly BuiltinRoute[],
  now: number,
): Generation["labels"] {
  const route: Record<string, number> = {}
  const service: Record<string, number> = {}
  const named = [...config.routes.map(routeLabel), ...builtins.map(builtinLabel)]
  for (const label of named) route[label] = directory.id("route", label)
  for (const name of Object.keys(config.services)) service[name] = directory.id("service", name)
  const limit: Record<string, number> = {}
  for (const { rate_limit: limits } of [config.defaults, ...config.routes])
    for (const each of limits === undefined ? [] : limitsOf(limits))
      limit[nameOf(each)] = directory.id("limit", nameOf(each))
  return { route, service, instance: assignInstanceLabels(directory, config, now), limit }
}

/** Metric ids of the instances alone. */
export function assignInstanceLabels(
  directory: LabelDirectory,
  { services }: Config,
  now: number,
): Generation["labels"]["instance"] {
  const labels = Object.entries(services).flatMap(([name, { instances }]) =>
    instances.map((each) => instanceLabel(name, instanceUrl(each))),
  )
  return directory.instances(labels, now)
}
