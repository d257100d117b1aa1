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

export function lookAtTree(w: World, db: SimulatedDatabase): void {
  const { schema, reached, ids } = w
  if (!schema.name.startsWith('tree')) return
  reached.add('moved in a tree')
  const parents = parentsIn(w, db)
  for (const id of ids) {
    const path = new Set<string>()
    for (let at: string | undefined = id; at !== undefined && !path.has(at); at = parents.get(at)?.[0]) path.add(at)
    if ([...path].some(each => parents.get(each)?.some(p => path.has(p) && p === id))) reached.add('parents in a circle')
  }
}
