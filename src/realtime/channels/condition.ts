import type { Environment } from "@marcbachmann/cel-js"
import type { Principal } from "../../identity/principal.ts"
import { callerOf, compileQuestion, principalEnvironment } from "../../policies/auth_expression.ts"

/** A condition on a caller and a channel, ready to be asked. What cannot be told does not hold. */
export type ChannelCondition = (principal: Principal, channel: string, key: string) => boolean

let environment: Environment | undefined

const theEnvironment = (): Environment => {
  environment ??= principalEnvironment()
    .registerVariable("channel", "string")
    .registerVariable("key", "string")
  return environment
}

/**
 * Compiles a condition in CEL on `principal`, `channel` and `key`, the part of the channel's name after the prefix of
 * its namespace. A text: what is wrong with it, and where.
 */
export function compileChannelCondition(text: string): ChannelCondition | string {
  const ask = compileQuestion(theEnvironment, text)
  if (typeof ask === "string") return ask
  return (principal, channel, key) => {
    try {
      return ask({ principal: callerOf(principal), channel, key }) === true
    } catch {
      // It asks for what this caller does not have, such as a claim: nobody is let in by that.
      return false
    }
  }
}
