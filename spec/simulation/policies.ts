// Who may see and change which rows: as the rules of a server say it, and as the oracle understands it, which knows nothing of the product.

import type { DataSource } from 'typeorm'
import { keys, type Principal, type Rule, rule } from '../../server-koa/index.js'
import { referencesOf, relationNameOf, type Schema, USERS } from './schemas.js'

/** Sees and changes everything. */
export const EVERYTHING = 'all'

/** Texts, or the lists of which the user is a member, or a member who may write. */
type Values = readonly string[] | 'lists' | 'writers'
/** AND, by columns. */
type Filter = Readonly<Record<string, Values>>
type Answer = true | readonly Filter[]
type For = (user: string) => Answer

export type Deed = 'create' | 'update' | 'remove'
interface TablePolicy extends Readonly<Record<Deed, For>> {
  readonly read: For
}

export interface Policy {
  readonly name: string
  readonly tables: Readonly<Record<string, TablePolicy>>
}

const forAll = (read: For, write: For): TablePolicy => ({ read, create: write, update: write, remove: write })

const ownOr =
  (filter: Filter): For =>
  user => [{ owner: [user] }, filter]

const ofLists = forAll(ownOr({ list: 'lists' }), ownOr({ list: 'writers' }))
const ofMembers = (list: string) =>
  forAll(
    user => [{ who: [user] }, { [list]: 'lists' }],
    () => [{ [list]: 'writers' }],
  )

const owned = (name: string, item: TablePolicy, part = item): Policy => ({ name, tables: { item, part, member: ofMembers('list') } })

const OWNED: readonly Policy[] = [
  owned('own rows and lists', ofLists),
  owned('gives away', { ...ofLists, update: () => true }),
  owned('both keys', forAll(ownOr({ list: 'lists', owner: USERS }), ownOr({ list: 'writers', owner: USERS }))),
  owned('parents for all', { ...ofLists, read: () => true }, ofLists),
]

const ofRows = forAll(ownOr({ id: 'lists' }), ownOr({ id: 'writers' }))
const inRows = forAll(ownOr({ listId: 'lists' }), ownOr({ listId: 'writers' }))
const LISTS_ARE_ROWS: readonly Policy[] = [{ name: 'lists are rows', tables: { item: ofRows, part: inRows, member: ofMembers('listId') } }]

const below = forAll(ownOr({ 'item.list': 'lists' }), ownOr({ 'item.list': 'writers' }))
const BY_PATHS: readonly Policy[] = [
  owned('parts as their items', ofLists, below),
  owned('parts as their items, given away', { ...ofLists, update: () => true }, below),
]

export const policiesOf = ({ users }: Schema): readonly Policy[] =>
  users?.path ? BY_PATHS : users?.list === 'listId' ? LISTS_ARE_ROWS : OWNED

// ------------------------------------------------------------ as the server has it

export function rulesOf({ tables, users }: Schema, policy: Policy, { options }: DataSource): Rule[] {
  const entities = Object.values(options.entities ?? {}) as { options: { name: string } }[]
  const entity = (name: string) => entities.find(e => e.options.name === name) as never
  const values = (some: Values, user: string) =>
    typeof some !== 'string' ? some : keys<never>(entity('member'), users?.list as never, memberships(some, user) as never)
  const answer = (say: For) => (principal: Principal) => {
    const said = principal.id === EVERYTHING ? true : say(principal.id)
    if (said === true) return true
    return said.map(filter =>
      Object.fromEntries(Object.entries(filter).map(([column, some]) => [column, values(some, principal.id)])),
    ) as never
  }
  return tables.map(table => {
    const { name } = table
    const { read, ...write } = policy.tables[name] as TablePolicy
    const { create, update, remove } = write
    return rule<never>(entity(name), {
      read: answer(read),
      write: { create: answer(create), update: answer(update), remove: answer(remove) },
      dangling: referencesOf(table).map(({ column, isSplit }) => (isSplit ? relationNameOf(column) : column) as never),
    })
  })
}

const memberships = (some: 'lists' | 'writers', who: string) => (some === 'lists' ? { who } : { who, role: 'writer' })

// ------------------------------------------------------------ as the oracle has it

export type Row = Readonly<Record<string, unknown>>

export interface Rights {
  readonly lists: ReadonlySet<string>
  readonly writers: ReadonlySet<string>
}

export function rightsOf(user: string, members: readonly Row[], list: string): Rights {
  const own = members.filter(m => m.who === user)
  const listsOf = (some: readonly Row[]) => new Set(some.flatMap(m => (m[list] === null ? [] : String(m[list]))))
  return { lists: listsOf(own), writers: listsOf(own.filter(m => m.role === 'writer')) }
}

/** May the user see the row, or do that to it, as it stands? */
export function may(policy: Policy, table: string, deed: Deed | 'read', user: string, row: Row, rights: Rights): boolean {
  const answer = answerOf(policy, table, deed, user)
  return answer === true || fits(answer, row, rights)
}

/** May the user make a row what it is? Who adds a scope to it needs a filter that speaks of that scope. */
export function mayMake(
  policy: Policy,
  { table, user, scopes }: { table: string; user: string; scopes: readonly string[] },
  old: Row | undefined,
  row: Row,
  rights: Rights,
): boolean {
  const answer = answerOf(policy, table, old ? 'update' : 'create', user)
  if (answer === true) return true
  const isAdded = (scope: string) => (row[scope] ?? null) !== null && row[scope] !== old?.[scope] && answer.some(filter => scope in filter)
  const added = scopes.filter(isAdded)
  return (
    fits(answer, row, rights) &&
    added.every(scope =>
      fits(
        answer.filter(filter => scope in filter),
        row,
        rights,
      ),
    )
  )
}

const answerOf = (policy: Policy, table: string, deed: Deed | 'read', user: string) =>
  user === EVERYTHING ? true : (policy.tables[table] as TablePolicy)[deed](user)

function fits(answer: readonly Filter[], row: Row, rights: Rights): boolean {
  const isOne = (value: unknown, some: Values) =>
    value !== null && value !== undefined && (typeof some === 'string' ? rights[some].has(String(value)) : some.includes(String(value)))
  return answer.some(filter => Object.entries(filter).every(([column, some]) => isOne(row[column], some)))
}

export const seesAll = (policy: Policy, table: string, user: string): boolean =>
  user === EVERYTHING || (policy.tables[table] as TablePolicy).read(user) === true
