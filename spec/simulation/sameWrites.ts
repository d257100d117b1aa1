// What the application and the host write, on both sides: a row, or many with one statement.

import { IDS, PROPERTIES } from './databases.js'
import type { Value } from './model.js'
import * as model from './model.js'
import { EVERYTHING } from './policies.js'
import { SORTED, stampsOfCode } from './sameStates.js'
import { COLUMNS, text } from './sameText.js'
import type { SameWorld } from './sameWorld.js'

// ------------------------------------------------------------ values

const aValue = (w: SameWorld, p: string) => `${p}${Math.floor(w.random.next() * w.values)}`

export function drawValue(w: SameWorld, name: string, old: Value): Value {
  const { chance } = w.random
  const value: Record<string, string | null> = { ...(model.gone(old) ? {} : old) }
  for (const p of PROPERTIES) if (value[p] === undefined || chance(0.4)) value[p] = aValue(w, p)
  for (const { column, values } of w.scopes)
    if (value[column] === undefined || chance(w.odds.move)) value[column] = aScope(w, name, column, values)
  if (chance(w.odds.bad) && !w.servers.has(name)) value.c = `${aValue(w, 'c')}!`
  return value
}

/** Usually one that its user may give a row. */
function aScope(w: SameWorld, name: string, column: string, all: readonly (string | null)[]): string | null {
  const { chance, pick } = w.random
  const user = w.userOf.get(name)
  if (!user || user === EVERYTHING || chance(0.3)) return pick(all)
  if (column === 'owner') return user
  const server = w.links.find(([client]) => client === name)?.[1] as string
  const own = [...(w.databases.get(server)?.model.members.values() ?? [])].filter(m => m.who === user && m.role === 'writer')
  return own.length ? (pick(own).list as string) : pick(all)
}

// ------------------------------------------------------------ one row

export function store(w: SameWorld, name: string, id: string, value: Value): void {
  const { code, model: db } = w.at(name)
  const old = db.version(id).value
  if (value?.removed) code.run('DELETE FROM item WHERE id = ?', id)
  else {
    const columns = COLUMNS.filter(p => value && p in value)
    const cells = columns.map(p => value?.[p])
    if (model.gone(old)) code.run(`INSERT INTO item (id, ${columns}) VALUES (?${', ?'.repeat(columns.length)})`, id, ...cells)
    else code.run(`UPDATE item SET ${columns.map(p => `${p} = ?`)} WHERE id = ?`, ...cells, id)
  }
  db.write(id, value)
}

export function write(w: SameWorld, name: string): string | undefined {
  const { chance, pick } = w.random
  const id = pick(IDS)
  const old = w.at(name).model.version(id).value
  const value: Value = !model.gone(old) && chance(w.odds.remove) ? { removed: 'r' } : drawValue(w, name, old)
  if (!model.gone(value) && text(value) === text(old)) return
  store(w, name, id, value)
  return `${name} writes ${id} ${text(value)}`
}

// ------------------------------------------------------------ many rows

/** What one statement does. */
interface Statement {
  readonly ids: readonly string[]
  readonly sql: string
  readonly newValueOf: (id: string) => Value
}

/** One statement; its rows share a stamp in the model. */
export function writeMany(w: SameWorld, name: string): string | undefined {
  const { chance, pick } = w.random
  const { code, model: db } = w.at(name)
  const there = SORTED.filter(id => !model.gone(db.version(id).value) && chance(0.8))
  const absent = SORTED.filter(id => model.gone(db.version(id).value) && chance(0.8))
  const kind = pick(['update', 'insert', 'remove'])
  const { ids, sql, newValueOf } =
    kind === 'update' ? updateOf(w, name, there) : kind === 'insert' ? insertOf(w, name, absent) : removalOf(there)
  if (!ids.length) return
  code.run(sql)
  // SQLite stamps them one by one, in an order of its own; the model gives them one stamp where that comes to the same: exits of rows that are there again
  // are collected by their own stamps
  const stamps = stampsOfCode(code)
  const stampOf = (id: string) => stamps.get(id)?.stamp ?? 0
  const stamped = [...ids].sort((x, y) => stampOf(x) - stampOf(y))
  const shared = !w.isOfUsers && String(stamped) === String(ids) ? db.tick() : undefined
  for (const id of stamped) db.write(id, newValueOf(id), shared)
  return `${name} ${kind}s ${ids} at once`
}

const list = (ids: readonly string[]) => `(${ids.map(id => `'${id}'`).join(', ')})`
const literal = (cell: string | null | undefined) => (cell === null ? 'NULL' : `'${cell}'`)

function updateOf(w: SameWorld, name: string, there: readonly string[]): Statement {
  const { chance, pick } = w.random
  const db = w.at(name).model
  const moved = w.scopes.length && chance(w.odds.move) ? pick(w.scopes) : undefined
  const [column, value] = moved ? [moved.column, aScope(w, name, moved.column, moved.values)] : ['b', aValue(w, 'b')]
  const ids = there.filter(id => db.version(id).value?.[column] !== value)
  return {
    ids,
    sql: `UPDATE item SET ${column} = ${literal(value)} WHERE id IN ${list(ids)}`,
    newValueOf: id => ({ ...db.version(id).value, [column]: value }),
  }
}

function insertOf(w: SameWorld, name: string, absent: readonly string[]): Statement {
  const value: Record<string, string | null> = Object.fromEntries(PROPERTIES.map(p => [p, aValue(w, p)]))
  for (const { column, values } of w.scopes) value[column] = aScope(w, name, column, values)
  const cells = Object.values(value).map(literal)
  return {
    ids: absent,
    sql: `INSERT INTO item (id, ${Object.keys(value)}) VALUES ${absent.map(id => `('${id}', ${cells.join(', ')})`).join(', ')}`,
    newValueOf: () => value,
  }
}

const removalOf = (there: readonly string[]): Statement => ({
  ids: there,
  sql: `DELETE FROM item WHERE id IN ${list(there)}`,
  newValueOf: () => ({ removed: 'r' }),
})
