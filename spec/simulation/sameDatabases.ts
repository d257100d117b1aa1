// A database of the model beside one of the code, with the same rules and rows.

import { type Dump, SimulatedDatabase } from './databases.js'
import type { Value } from './model.js'
import * as model from './model.js'
import { EVERYTHING, may, mayMake, type Policy, type Row, rightsOf } from './policies.js'
import { SCOPES } from './sameText.js'
import { OLD_SCHEMAS, ONE_TABLE_OF_USERS, USERS } from './schemas.js'

const pool = new Map<string, SimulatedDatabase>()
export async function database(name: string, isOfUsers: boolean): Promise<SimulatedDatabase> {
  const place = `${name} ${isOfUsers}`
  const known = pool.get(place)
  if (known) return known
  const schema = isOfUsers ? ONE_TABLE_OF_USERS : OLD_SCHEMAS.none
  const opened = await SimulatedDatabase.open(name, schema, name.startsWith('d') ? 'sqljs' : 'libsql', '(SELECT time FROM wall)')
  pool.set(place, opened)
  return opened
}

/** What the model asks about users, who see what a policy says: answered by the oracle's own reading of it, which knows nothing of the product. */
export function modelRules(policy: Policy): model.Rules {
  const read = (user: string) => (user === EVERYTHING ? true : policy.tables.item!.read(user))
  // where a filter speaks of the owner as well, a list shows rows alone that have one
  const needsOwner = read(USERS[0]) !== true && (read(USERS[0]) as readonly Row[]).every(filter => 'owner' in filter)
  const rowOf = (value: Value): Row | undefined => (model.gone(value) ? undefined : (value as Row))
  return {
    scopesOf: value => SCOPES.flatMap(p => (value?.[p] && (p === 'owner' || !needsOwner || value.owner) ? `${p} ${value[p]}` : [])),
    accessOf(db, user) {
      const rights = rightsOf(user, [...db.members.values()], 'list')
      const keys = read(user) === true ? ['*'] : [`owner ${user}`, ...[...rights.lists].sort().map(list => `list ${list}`)]
      const whom = { table: 'item', user, scopes: SCOPES }
      return {
        principal: user,
        name: [user, ...keys, 'writes', ...[...rights.writers].sort()].join(' '),
        keys,
        mayChange: (old, value) => may(policy, 'item', model.gone(value) ? 'remove' : 'update', user, rowOf(old) as Row, rights),
        mayMake: (old, value) => mayMake(policy, whom, rowOf(old), rowOf(value) as Row, rights),
      }
    },
  }
}

export interface Both {
  readonly code: SimulatedDatabase
  model: model.Database
}

export interface Backup {
  readonly dump: Dump
  readonly model: model.Database
}

export function copyModel(db: model.Database): model.Database {
  const copy = new model.Database(db.collection)
  Object.assign(copy, { now: db.now, horizon: db.horizon, versions: new Map(db.versions), pushes: new Map(db.pushes) })
  Object.assign(copy, { rules: db.rules, exits: db.exits, sets: new Map(db.sets), members: new Map(db.members) })
  copy.remotes = db.remotes.map(r =>
    Object.assign(new model.Remote(r.name), r, {
      page: r.page && { ...r.page, seen: r.page.seen && new Set(r.page.seen) },
      mine: new Set(r.mine),
      push: r.push && { ...r.push },
      images: new Map([...r.images].map(([id, images]) => [id, new Map(images)])),
      conflicts: new Map([...r.conflicts].map(([id, conflict]) => [id, { ...conflict }])),
      rejected: new Map(r.rejected),
      retry: new Map(r.retry),
      aside: new Map(r.aside),
      decisions: new Set(r.decisions),
    }),
  )
  return copy
}
