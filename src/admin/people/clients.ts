import { Elysia } from "elysia"
import {
  CLIENT_STATUSES,
  type Client,
  changeClient,
  createClient,
  deleteClient,
  findClient,
  listClients,
  rotateClientSecret,
} from "../../identity/clients.ts"
import { isoDate } from "../../lib/iso_date.ts"
import { Type } from "../../lib/type.ts"
import { ok, operatorOf, refuse } from "../answer.ts"
import type { People } from "./people.ts"
import { compileBody, compileQuery, fields, PAGE, readPage, unfitFields } from "./read.ts"
import { Name, Roles, Scopes, unknownRights } from "./rights.ts"

const readList = compileQuery(fields(PAGE))
const readNew = compileBody(
  fields({ name: Name, roles: Type.Optional(Roles), scopes: Type.Optional(Scopes) }),
)
const readChanges = compileBody(
  Type.Object(
    {
      name: Type.Optional(Name),
      roles: Type.Optional(Roles),
      scopes: Type.Optional(Scopes),
      status: Type.Optional(Type.Enum([...CLIENT_STATUSES])),
    },
    { additionalProperties: false, minProperties: 1 },
  ),
)
const readNothing = compileBody(fields({}))

/** OAuth 2 clients, which sign in with id and secret. A secret is shown once, when it is made. */
export function clientRoutes({ context, config }: People) {
  const { store } = context
  return new Elysia({ prefix: "/admin/v1/clients" })
    .get("/", async ({ request }) => {
      const query = readList(request)
      if (query instanceof Response) return query
      const { items, next } = await readPage(query, (page) => listClients(store, page))
      return ok({ clients: items.map(toView), next_cursor: next })
    })
    .post(
      "/",
      async ({ request }) => {
        const body = await readNew(request)
        if (body instanceof Response) return body
        const errors = unknownRights(body, config())
        if (errors.length > 0) return unfitFields(request, errors)
        const { name, roles = [], scopes = [] } = body
        const made = await createClient(context, { name, roles, scopes }, operatorOf(request))
        if (made.kind === "too_many")
          return refuse(request, 409, "LIMIT_REACHED", `There are ${made.max} clients; delete some.`)
        return ok({ ...toView(made.client), secret: made.secret }, 201)
      },
      { parse: "none" },
    )
    .get("/:id", async ({ request, params: { id } }) => {
      const client = await findClient(store, id)
      return client === undefined ? noClient(request) : ok(toView(client))
    })
    .patch(
      "/:id",
      async ({ request, params: { id } }) => {
        const body = await readChanges(request)
        if (body instanceof Response) return body
        const errors = unknownRights(body, config())
        if (errors.length > 0) return unfitFields(request, errors)
        const changed = await changeClient(context, id, body, operatorOf(request))
        return changed.kind === "not_found" ? noClient(request) : ok(toView(changed.client))
      },
      { parse: "none" },
    )
    .post(
      "/:id/rotate",
      async ({ request, params: { id } }) => {
        const body = await readNothing(request)
        if (body instanceof Response) return body
        const made = await rotateClientSecret(context, id, operatorOf(request))
        return made.kind === "not_found"
          ? noClient(request)
          : ok({ ...toView(made.client), secret: made.secret }, 201)
      },
      { parse: "none" },
    )
    .delete("/:id", async ({ request, params: { id } }) =>
      (await deleteClient(context, id, operatorOf(request))) ? ok({ id, deleted: true }) : noClient(request),
    )
}

const noClient = (request: Request): Response =>
  refuse(request, 404, "NOT_FOUND", "There is no client with this id.")

function toView(client: Client) {
  return {
    id: client.id,
    name: client.name,
    roles: client.roles,
    scopes: client.scopes,
    status: client.status,
    created_at: isoDate(client.createdAt),
    updated_at: isoDate(client.updatedAt),
  }
}
