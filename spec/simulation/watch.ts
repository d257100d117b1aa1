// Watches what servers tell whom, and what they store for whom: no answer has a row that its caller may not see at that moment, nor the id of one that
// never was within the caller's reach, and no POST stores more than its sender may.

import type { SimulatedDatabase } from './databases.js'
import { may, mayMake, type Policy, type Rights, type Row, rightsOf, seesAll } from './policies.js'
import { referencesOf, type Schema, USERS } from './schemas.js'

/** The rows of all tables, by their ids. */
export type Rows = ReadonlyMap<string, Row>

/** What a database holds, and what a user may do there. */
export interface State {
  readonly rows: Rows
  readonly rights: Rights
}

export class Watch {
  /** What was not right. */
  readonly wrong = new Set<string>()
  /** Server, user, id: seen at some time. */
  readonly #seen = new Set<string>()
  /** Server, user, key: held at some time; and server, id, key: the row had it at some time. */
  readonly #keys = new Set<string>()
  readonly #known = new Map<string, { writes: number; rows: Rows; rights: ReadonlyMap<string, Rights> }>()

  constructor(
    private readonly schema: Schema,
    readonly policy: Policy,
    private readonly users: readonly string[],
  ) {}

  forget(db: SimulatedDatabase): void {
    this.#known.delete(db.name)
  }

  rowsOf(db: SimulatedDatabase): Rows {
    return this.#look(db).rows
  }

  rightsOf(db: SimulatedDatabase, user: string): Rights {
    return this.#look(db).rights.get(user) ?? { lists: new Set(), writers: new Set() }
  }

  /** Looks at what stands in a server: whoever may see it now may be told that it has left them. */
  note(db: SimulatedDatabase): void {
    this.#look(db)
  }

  #look(db: SimulatedDatabase) {
    const { writes } = db
    const before = this.#known.get(db.name)
    if (before?.writes === writes) return before
    const rows = new Map<string, Row>()
    for (const { name } of this.schema.tables) for (const row of db.run(`SELECT * FROM ${name}`)) rows.set(String(row.id), row)
    for (const [id, row] of rows) rows.set(id, this.#withPath(row, rows))
    const { list, isSynced } = this.schema.users as NonNullable<Schema['users']>
    const members: readonly Row[] = isSynced
      ? [...rows.values()].filter(row => db.tableOf(String(row.id)) === 'member')
      : db.run('SELECT * FROM member')
    const rights = new Map(USERS.map(user => [user as string, rightsOf(user, members, list)]))
    const found = { writes, rows, rights }
    this.#known.set(db.name, found)
    for (const user of this.users) {
      for (const key of [user, ...(rights.get(user)?.lists ?? [])]) this.#keys.add(`${db.name} ${user} holds ${key}`)
      for (const [id, row] of rows) if (this.sees(db, user, row)) this.#seen.add(`${db.name} ${user} ${id}`)
    }
    for (const [id, row] of rows)
      for (const value of Object.values(row)) if (typeof value === 'string') this.#keys.add(`${db.name} ${id} has ${value}`)
    return found
  }

  /** Does a server show a row, as it is given, to the user? */
  sees(db: SimulatedDatabase, user: string, row: Row | undefined, state?: State): boolean {
    if (row === undefined) return false
    const { rows, rights } = state ?? { rows: this.rowsOf(db), rights: this.rightsOf(db, user) }
    const { path } = this.schema.users as NonNullable<Schema['users']>
    const whole = path && !(path.name in row) ? this.#withPath(row, rows) : row
    return may(this.policy, db.tableOf(String(row.id)), 'read', user, whole, rights)
  }

  /** With the scope that it has of its parent. */
  #withPath(row: Row, rows: Rows): Row {
    const path = this.schema.users?.path
    if (!path || !(path.column in row)) return row
    return { ...row, [path.name]: rows.get(String(row[path.column]))?.[path.of] ?? null }
  }

  /** Was the row within the user's reach at some time? */
  #mayKnow(db: SimulatedDatabase, user: string, id: string): boolean {
    if (seesAll(this.policy, db.tableOf(id), user) || this.#seen.has(`${db.name} ${user} ${id}`)) return true
    const held = `${db.name} ${user} holds `
    return [...this.#keys].some(key => key.startsWith(held) && this.#keys.has(`${db.name} ${id} has ${key.slice(held.length)}`))
  }

  /** Looks at an answer; `posted`: what the caller has pushed, by its ids. It is of this moment, or as a whole of an earlier one. */
  answered(db: SimulatedDatabase, user: string, updates: readonly Row[], errors: readonly Row[], posted: Rows, earlier?: State): void {
    const hidden = (state?: State) =>
      updates.filter(update => {
        const id = String(update.id)
        // a link is seen with the row that has it
        const owner = this.schema.linked && id.includes('/') ? String(id.split('/')[0]) : id
        if (!update._removed) return !this.sees(db, user, owner === id ? update : (state?.rows ?? this.rowsOf(db)).get(owner), state)
        return update._lastChange === 0 ? !posted.has(id) : !this.#mayKnow(db, user, owner)
      })
    for (const update of earlier && !hidden(earlier).length ? [] : hidden())
      this.wrong.add(`${db.name} tells ${user} of ${JSON.stringify(update)}`)
    for (const { id, code } of errors) {
      const row = posted.get(String(id))
      if (!row) this.wrong.add(`${db.name} names ${id} to ${user}`)
      const theirs = this.rowsOf(db).get(String(id))
      // who removes it, or changes a part, is to hear what they would if there was none
      if (theirs && (row?._removed || row?._partial) && !this.sees(db, user, theirs))
        this.wrong.add(`${db.name} tells ${user} by ${code} that ${id} is there`)
    }
  }

  /** Looks at what a POST has changed: posted rows, and those that a removal reached. */
  stored(db: SimulatedDatabase, user: string, posted: Rows, before: Rows, rights: Rights): void {
    const after = this.rowsOf(db)
    const lists = [...after.keys()].filter(id => !before.has(id))
    // who makes a list makes its members along with it
    const mine = this.rightsOf(db, user)
    const made = (some: ReadonlySet<string>, now: ReadonlySet<string>) => new Set([...some, ...lists.filter(id => now.has(id))])
    const later = { lists: made(rights.lists, mine.lists), writers: made(rights.writers, mine.writers) }
    for (const id of new Set([...before.keys(), ...after.keys()])) {
      const [old, row] = [before.get(id), after.get(id)]
      if (isSameRow(old, row)) continue
      const table = db.tableOf(id)
      const [deed, what] =
        old && row ? (['update', 'changes'] as const) : old ? (['remove', 'removes'] as const) : (['create', 'makes'] as const)
      const says = `${user} ${what} ${id} on ${db.name}: ${JSON.stringify(old)} → ${JSON.stringify(row)}`
      if (old && !(may(this.policy, table, 'read', user, old, rights) && may(this.policy, table, deed, user, old, rights)))
        this.wrong.add(`${says}, which they may not`)
      // what a removal reaches loses a scope, and gets none
      if (row && !mayMake(this.policy, { table, user, scopes: this.#scopesAdded(table, old, row) }, old, row, later))
        this.wrong.add(`${says}, which they may not make it`)
      // seen before, or with what the push brings
      const isSeen = (parent: string) =>
        [before, after].some(rows => {
          const there = rows.get(parent)
          return there !== undefined && [rights, mine].some(each => may(this.policy, db.tableOf(parent), 'read', user, there, each))
        })
      if (row && posted.has(id)) this.#parentsOf(table, row, old, parent => posted.has(parent) || isSeen(parent), says)
    }
  }

  #scopesOf(table: string): string[] {
    const { path } = this.schema.users as NonNullable<Schema['users']>
    const extras = this.schema.tables.find(t => t.name === table)?.extras ?? []
    return [...extras.flatMap(e => ('isScope' in e && e.isScope ? e.column : [])), ...(path?.table === table ? [path.name] : [])]
  }

  /** A row that follows its parent is in another scope by what was done to that one. */
  #scopesAdded(table: string, old: Row | undefined, row: Row): string[] {
    const path = this.schema.users?.path
    return this.#scopesOf(table).filter(scope => scope !== path?.name || old?.[path.column] !== row[path.column])
  }

  /** Might the user push this version of a row, or its removal? */
  mayPush(db: SimulatedDatabase, user: string, id: string, row: Row | undefined): boolean {
    const [table, rows, rights] = [db.tableOf(id), this.rowsOf(db), this.rightsOf(db, user)]
    const old = rows.get(id)
    const deed = row ? 'update' : 'remove'
    if (old && !(this.sees(db, user, old) && may(this.policy, table, deed, user, old, rights))) return false
    return !row || mayMake(this.policy, { table, user, scopes: this.#scopesOf(table) }, old, this.#withPath(row, rows), rights)
  }

  /** What hangs on a row that its sender does not see says that there is one. */
  #parentsOf(table: string, row: Row, old: Row | undefined, isThere: (parent: string) => boolean, says: string): void {
    const spec = this.schema.tables.find(t => t.name === table)
    for (const { column } of spec ? referencesOf(spec) : []) {
      const key = row[column]
      if (key !== null && key !== old?.[column] && !isThere(String(key))) this.wrong.add(`${says}, below ${key}, which they do not see`)
    }
  }
}

/** In what an application writes: what a row has of its parent follows. */
const isSameRow = (x: Row | undefined, y: Row | undefined) =>
  x === y || (x !== undefined && y !== undefined && Object.keys(x).every(c => /^_|[.]/.test(c) || (x[c] ?? null) === (y[c] ?? null)))
