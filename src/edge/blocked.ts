import { newRequestId } from "../lib/request_id.ts"
import { FAILURES } from "../policies/failure.ts"

const { message, status } = FAILURES.CLIENT_BLOCKED
const START = `{"error":{"code":"CLIENT_BLOCKED","message":${JSON.stringify(message)},"details":{}},"request_id":"`

/**
 * What a peer that is blocked is answered with. Nothing of its request was looked at, and nothing is logged: it shall
 * cost as little as can be.
 */
export function blockedAnswer(seconds: number): {
  status: number
  headers: [string, string][]
  body: string
} {
  return {
    status,
    headers: [
      ["content-type", "application/json"],
      ["cache-control", "no-store"],
      ["retry-after", String(seconds)],
    ],
    body: `${START}${newRequestId()}"}`,
  }
}
