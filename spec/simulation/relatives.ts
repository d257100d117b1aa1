// Which rows need which, and the values that belong to one row alone.

import type { SimulatedDatabase } from './databases.js'
import { isNumberedReference, numberColumnOf, numbersOf, referencesOf } from './schemas.js'
import type { World } from './world.js'

/** The parents of each row, or others of which it speaks, by ids. */
type Graph = ReadonlyMap<string, readonly string[]>

/** The number that each row has. It stays, and references by numbers lead to the same rows as those by identities. */
export function countedIn({ schema }: World, db: SimulatedDatabase): Map<string, number> {
  const counted = new Map<string, number>()
  for (const spec of schema.tables) {
    if (spec.isNumbered) for (const { id, num } of db.run(`SELECT id, num FROM ${spec.name}`)) counted.set(String(id), Number(num))
    for (const reference of referencesOf(spec).filter(r => isNumberedReference(schema, r))) {
      const [own, number] = [`x."${reference.column}"`, `x."${numberColumnOf(reference.column)}"`]
      const wrong = db.run(
        `SELECT x.id, ${own} AS own, ${number} AS number, p.id AS led FROM ${spec.name} x LEFT JOIN ${reference.to} p ON p.num = ${number}
            WHERE coalesce(p.id, '') <> coalesce(${own}, '') OR (${number} IS NULL) <> (${own} IS NULL)`,
      )
      if (wrong.length) throw new Error(`${db.name} has other numbers than identities: ${JSON.stringify(wrong)}`)
    }
  }
  return counted
}

/** The unique values of each row, where there are any. */
export function numbersIn(w: World, db: SimulatedDatabase): Map<string, string> | undefined {
  const { tables } = w.schema
  if (!tables.some(t => numbersOf(t).length)) return
  return w.remembered(db, 'numbers', () => {
    const numbers = new Map<string, string>()
    for (const spec of tables) {
      const columns = numbersOf(spec).map(c => c.column)
      if (!columns.length) continue
      for (const { id, ...values } of db.run(`SELECT id, ${columns.map(c => `"${c}"`).join(', ')} FROM ${spec.name}`))
        numbers.set(String(id), JSON.stringify(Object.values(values)))
    }
    return numbers
  })
}

/** The parents of each row, as the rows stand. */
export function parentsIn(w: World, db: SimulatedDatabase): Map<string, string[]> {
  return w.remembered(db, 'parents', () => {
    const parents = new Map<string, string[]>()
    for (const spec of w.schema.tables) {
      const columns = referencesOf(spec).map(r => `"${r.column}"`)
      if (!columns.length) continue
      for (const { id, ...keys } of db.run(`SELECT id, ${columns.join(', ')} FROM ${spec.name}`))
        parents.set(
          String(id),
          Object.values(keys).flatMap(key => (key === null ? [] : String(key))),
        )
    }
    return parents
  })
}

/** Of rows that are gone, one by whose removal this one may have gone along. */
export function goneAbove(id: string, gone: readonly string[], parents: Graph, path = new Set<string>()): string | undefined {
  path.add(id)
  for (const parent of parents.get(id) ?? []) {
    if (path.has(parent) || !gone.includes(parent)) continue
    return goneAbove(parent, gone, parents, path) ?? parent
  }
  return undefined
}

export function isConnected(id: string, others: ReadonlyMap<string, unknown>, ...graphs: Graph[]): boolean {
  const found = new Set([id])
  for (let size = 0; size !== found.size; ) {
    size = found.size
    for (const graph of graphs)
      for (const [child, parents] of graph)
        for (const parent of parents) if (found.has(child) || found.has(parent)) found.add(child).add(parent)
  }
  return [...found].some(each => others.has(each))
}

/** In the small worlds of old: applying a child brings its parent back, and removing a parent removes its children. */
export const relatedTo = (id: string, resolved: ReadonlyMap<string, unknown>) =>
  id === 'x' ? resolved.has('w') || resolved.has('v') : (id === 'w' || id === 'v') && resolved.has('x')

/** The circles of rows that need each other, by the places of their rows. */
function circlesIn(w: World, db: SimulatedDatabase): Map<string, readonly string[]> {
  return w.remembered(db, 'circles', () => {
    const parents = parentsIn(w, db)
    const circles = new Map<string, readonly string[]>()
    for (const id of parents.keys()) {
      const path: string[] = []
      for (let at: string | undefined = id; at !== undefined && !path.includes(at); at = parents.get(at)?.[0]) path.push(at)
      const back = parents.get(path.at(-1) as string)?.[0]
      const circle = back === undefined ? [] : path.slice(path.indexOf(back)).sort()
      if (circle.length) circles.set(circle.map(each => `${each} in ${parents.get(each)?.[0]}`).join(', '), circle)
    }
    return circles
  })
}

const isTree = ({ schema }: World) => /\btree\b/.test(schema.name)

/** What an application has made, wherever that was. */
export function noteCircles(w: World): void {
  if (isTree(w)) for (const db of w.databases.values()) for (const circle of circlesIn(w, db).keys()) w.circles.add(circle)
}

interface Cause {
  /** The device that has pushed, perhaps not all of it yet. */
  readonly from?: SimulatedDatabase
  /** The rows that a handler has decided: of two it may make a circle. */
  readonly decided?: ReadonlyMap<string, unknown>
}

/** A sync closes no circle that nobody has made. */
export function lookAtTree(w: World, db: SimulatedDatabase, { from, decided }: Cause): void {
  if (!isTree(w)) return
  w.reached.add('moved in a tree')
  // who decides a key of two columns by halves may make any
  const alone = w.schema.tables.some(table => table.composite) ? 0 : 1
  for (const [circle, ids] of circlesIn(w, db)) {
    w.reached.add('parents in a circle')
    const isKnown = w.circles.has(circle) || ids.filter(id => decided?.has(id)).length > alone
    if (!isKnown && !(from && ids.some(id => isMovedLater(w, db, from, id) || isHiddenFrom(w, db, from, id))))
      throw new Error(`${db.name} has a circle that nobody has made: ${circle}`)
  }
}

/** Does the server have another row under this id than the device, whose user does not see it? */
function isHiddenFrom({ users }: World, db: SimulatedDatabase, from: SimulatedDatabase, id: string): boolean {
  return users !== undefined && !users.watch.sees(db, users.userOf(from.name), users.watch.rowsOf(db).get(id))
}

/** Is the row elsewhere on the device, and pushed in another request? */
function isMovedLater(w: World, db: SimulatedDatabase, from: SimulatedDatabase, id: string): boolean {
  const [there, here] = [db, from].map(each => parentsIn(w, each).get(id)?.[0])
  const own = `SELECT r.id FROM sync_server r WHERE r.origin = 'http://${db.name}'`
  // what was rejected, and has been edited since, is pushed as well
  const isAsItWas = `stamp = (SELECT x."_lastChange" FROM ${from.tableOf(id)} x WHERE x.id = sync_rejection.id)`
  const stays = ['sync_unapplied WHERE', `sync_rejection WHERE ${isAsItWas} AND`].map(
    table => `SELECT id FROM ${table} id = ? AND server IN (${own})`,
  )
  return there !== here && !from.run(stays.join(' UNION '), id, id).length
}
