import type { Sql } from "../store/sql.ts"
import { type Accounts, type Actor, type Declined, recordOf, unlessBusy } from "./accounts.ts"
import { passwordProblems } from "./password_policy.ts"
import { personalOf } from "./recovery.ts"
import { deleteUser } from "./removal.ts"
import { endSessionsOf } from "./sessions.ts"
import {
  findChildren,
  findUser,
  insertUser,
  newUser,
  normaliseLogin,
  type User,
  updateUser,
} from "./users.ts"

/** Letters and digits of any language, and . _ - between them; never an address, which would be somebody else's. */
const CHILD_LOGIN = /^[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}._-]*[\p{L}\p{M}\p{N}])?$/u
const MAX_LOGIN_LENGTH = 64
const MIN_LOGIN_LENGTH = 3
/** Scripts with letters that look like those of another. */
const ALIKE = [/\p{Script=Latin}/u, /\p{Script=Cyrillic}/u, /\p{Script=Greek}/u]

/** Whether a child may have this login. `login`: normalised. Letters of scripts that look alike are not mixed. */
export function isChildLogin(login: string): boolean {
  const length = [...login].length
  if (length < MIN_LOGIN_LENGTH || length > MAX_LOGIN_LENGTH || !CHILD_LOGIN.test(login)) return false
  return ALIKE.filter((script) => script.test(login)).length <= 1
}

export interface NewChild {
  readonly login: string
  readonly password: string
  readonly displayName: string
  /** In years; undefined: no restriction. */
  readonly ageLimit: number | undefined
  readonly blockedContent: readonly string[]
}

/** Keys that are absent stay as they are. */
export interface ChildChanges {
  readonly password?: string
  readonly displayName?: string
  readonly ageLimit?: number | undefined
  readonly blockedContent?: readonly string[]
}

export type ChildOutcome = { readonly kind: "child"; readonly child: User } | ChildDeclined
type ChildDeclined =
  | Exclude<Declined, { kind: "throttled" }>
  /** There is no such child of this parent, or the parent's account is gone. */
  | { readonly kind: "not_found" }
  | { readonly kind: "login_taken" }
  | { readonly kind: "too_many"; readonly max: number }

/** `parent` must have the role of parents. */
export async function createChild(
  { context, hasher }: Accounts,
  parent: User,
  wanted: NewChild,
  actor: Actor,
): Promise<ChildOutcome> {
  const { passwords, family, tiers } = context.settings()
  const login = normaliseLogin(wanted.login)
  const personal = [login, wanted.displayName]
  const problems = await passwordProblems(wanted.password, passwords, personal)
  if (problems.length > 0) return { kind: "unfit_password", problems }
  const passwordHash = await unlessBusy(hasher.hash(wanted.password))
  if (passwordHash === "busy") return { kind: "busy" }
  const at = context.wallClock()
  const child = newUser(at, {
    login,
    email: undefined,
    passwordHash,
    displayName: wanted.displayName,
    roles: [family.child_role],
    tier: tiers.includes(parent.tier) ? parent.tier : tiers[0]!,
    parentId: parent.id,
    ageLimit: wanted.ageLimit,
    blockedContent: wanted.blockedContent,
  })
  return context.store.transaction(async (sql) => {
    // Locks the parent: of two made side by side the second one counts the first.
    if (!(await updateUser(sql, parent.id, {}, at))) return { kind: "not_found" }
    if ((await findChildren(sql, parent.id)).length >= family.max_children)
      return { kind: "too_many", max: family.max_children }
    if (!(await insertUser(sql, child))) return { kind: "login_taken" }
    await context.audit(sql, recordOf(actor, "child.create", "success", child.id))
    return { kind: "child", child }
  })
}

/** The parent's child of this id; undefined: it is somebody else's, deleted, or there is none. */
export async function findChild(sql: Sql, parentId: string, childId: string): Promise<User | undefined> {
  const child = await findUser(sql, childId)
  return child?.parentId === parentId && child.status !== "deleted" ? child : undefined
}

/**
 * A new password, age limit or blocked content ends the child's sessions: it signs in again, and what its tokens
 * said before counts no more, on every worker.
 */
export async function changeChild(
  { context, hasher }: Accounts,
  parent: User,
  childId: string,
  { password, ...changes }: ChildChanges,
  actor: Actor,
): Promise<ChildOutcome> {
  const before = await findChild(context.store, parent.id, childId)
  if (before === undefined) return { kind: "not_found" }
  let passwordHash: string | undefined
  if (password !== undefined) {
    const personal = [...personalOf(before), changes.displayName ?? ""]
    const problems = await passwordProblems(password, context.settings().passwords, personal)
    if (problems.length > 0) return { kind: "unfit_password", problems }
    const hash = await unlessBusy(hasher.hash(password))
    if (hash === "busy") return { kind: "busy" }
    passwordHash = hash
  }
  const all = { ...changes, ...(passwordHash !== undefined && { passwordHash }) }
  return context.store.transaction(async (sql) => {
    if (!(await updateUser(sql, childId, all, context.wallClock()))) return { kind: "not_found" }
    if (passwordHash !== undefined || "ageLimit" in changes || "blockedContent" in changes) {
      const by = { actor: actor.id, client: actor.client, requestId: actor.requestId }
      const reason = passwordHash === undefined ? "account_changed" : "password_changed"
      await endSessionsOf(context, sql, childId, reason, "", by)
    }
    const details = { changed: Object.keys(all).join(" ") }
    await context.audit(sql, recordOf(actor, "child.change", "success", childId, details))
    return { kind: "child", child: (await findUser(sql, childId))! }
  })
}

/** False: there is no such child of this parent. */
export async function deleteChild(
  { context }: Accounts,
  parent: User,
  childId: string,
  actor: Actor,
): Promise<boolean> {
  return context.store.transaction(async (sql) => {
    const child = await findChild(sql, parent.id, childId)
    return child !== undefined && deleteUser(context, sql, child, actor)
  })
}
