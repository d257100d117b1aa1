// What the application writes, on any database and between any two steps: one row or all, or a transaction that comes to nothing.
// Rows of the small worlds of old are written here, wide ones by application.ts.

import { PROPERTIES, type SimulatedDatabase } from './databases.js'
import { type Cells, cellsOf, isGone, isSame, type Value } from './oracle.js'
import { noteCircles } from './relatives.js'
import { writeLink } from './rowLinks.js'
import type { World } from './world.js'

export function write(w: World, db: SimulatedDatabase): void {
  const { chance, pick } = w.random
  const { odds, ids, reached } = w
  if (w.openTransactions.has(db.name)) return
  if ([...w.processes.values()].some(p => p.client === db.name && p.kind === 'handler')) reached.add('edit during a handler')
  if (chance(odds.transaction)) {
    // a transaction of the application's that comes to nothing: whatever it wrote was never there
    db.run('BEGIN')
    writeWhatNeverWas(w, db)
    if (w.clients.has(db.name) && !w.servers.has(db.name) && chance(0.5)) w.openTransactions.add(db.name)
    else w.rollback(db)
    reached.add('transaction rolled back')
    return
  }
  if (w.schema.isWide) {
    db.run('BEGIN')
    for (const id of chance(odds.bulk) ? ids : [pick(ids)]) writeRow(w, db, id)
    db.run('COMMIT')
    noteCircles(w)
  } else if (chance(odds.bulk)) {
    db.run('BEGIN')
    for (const id of ids) writeRow(w, db, id)
    db.run('COMMIT')
    reached.add('bulk write')
  } else writeRow(w, db, pick(ids))
  w.save(db)
}

export function writeWhatNeverWas({ schema }: World, db: SimulatedDatabase): void {
  if (schema.isWide) {
    for (const { name } of schema.tables) db.run(`UPDATE ${name} SET a = 'never', c = 'never'`)
    return
  }
  db.run(`UPDATE item SET a = 'never', b = 'never'`)
  db.run(`DELETE FROM item WHERE id = 'y'`)
  db.run(`INSERT INTO item (id, a) SELECT 'z', 'never' FROM (SELECT 1 AS one) d WHERE NOT EXISTS (SELECT 1 FROM item WHERE id = 'z')`)
}

export function writeRow(w: World, db: SimulatedDatabase, id: string): void {
  const { chance } = w.random
  if (w.schema.linked && chance(0.4)) {
    writeLink(w, db)
    return
  }
  if (w.schema.isWide) {
    w.application.write(db, id)
    if (w.servers.has(db.name)) w.users?.watch.note(db)
    return
  }
  const old = w.snapshot(db).get(id) ?? null
  if (isGone(old)) insert(w, db, id, old)
  else if (chance(w.odds.remove)) remove(w, db, id, old)
  else update(w, db, id, old)
}

/** A part needs the item x, or may be without it. */
function insert(w: World, db: SimulatedDatabase, id: string, old: Value): void {
  const { oracle } = w
  const needsParent = db.tableOf(id) === 'part'
  const parentIsThere = db.run("SELECT 1 FROM item WHERE id = 'x'").length > 0
  if (needsParent && !parentIsThere && w.relation !== 'SET NULL') return
  const before = old === null ? [oracle.lastRemoval.get(db.name + id)] : cellsOf(old)
  const cells = Object.fromEntries(PROPERTIES.map(p => [p, oracle.token(db.name, ...before)])) as Cells
  for (const p of PROPERTIES) oracle.written.push({ id, property: p, token: cells[p] })
  const columns = needsParent ? ', "itemId"' : ''
  db.run(
    `INSERT INTO ${db.tableOf(id)} (id, a, b, c${columns}) VALUES (?, ?, ?, ?${needsParent ? (parentIsThere ? ", 'x'" : ', NULL') : ''})`,
    id,
    cells.a,
    cells.b,
    cells.c,
  )
  observeApplication(w, db, id, old, cells)
}

/** With the item x its parts go along. */
function remove(w: World, db: SimulatedDatabase, id: string, old: Cells): void {
  const { oracle, relation } = w
  const removals = w.removalsOf(db.name)
  const family = id === 'x' ? ['w', 'v'] : []
  const children = family.filter(
    c =>
      db.tableOf(c) === 'part' && !isGone(w.snapshot(db).get(c)) && db.run(`SELECT 1 FROM part WHERE id = ? AND "itemId" = 'x'`, c).length,
  )
  if (children.length && relation === 'RESTRICT') return
  const values = w.snapshot(db)
  const ofChildren = relation === 'CASCADE' ? children.flatMap(c => cellsOf(values.get(c))) : []
  const token = oracle.token(`${db.name}r`, ...cellsOf(old), ...ofChildren)
  oracle.written.push({ id, property: 'removed', token })
  db.run(`DELETE FROM ${db.tableOf(id)} WHERE id = ?`, id)
  if (relation === 'CASCADE')
    for (const c of children) {
      removals.set(c, token)
      observeApplication(w, db, c, values.get(c) ?? null, { removed: token })
    }
  removals.set(id, token)
  observeApplication(w, db, id, old, { removed: token })
}

/** Now and then to a value that servers reject. */
function update(w: World, db: SimulatedDatabase, id: string, old: Cells): void {
  const { chance } = w.random
  const { oracle } = w
  const { name } = db
  const value = { ...old }
  for (const p of PROPERTIES) if (chance(0.4)) value[p] = oracle.token(name, old[p])
  if (chance(w.odds.bad) && !w.servers.has(name)) value.c = oracle.alias(oracle.token(name, old.c), `${name}.bad${oracle.written.length}!`)
  for (const p of PROPERTIES) if (value[p] !== old[p]) oracle.written.push({ id, property: p, token: value[p] })
  if (isSame(value, old)) return
  db.run(`UPDATE ${db.tableOf(id)} SET a = ?, b = ?, c = ? WHERE id = ?`, value.a, value.b, value.c, id)
  observeApplication(w, db, id, old, value)
}

export function observeApplication(w: World, db: SimulatedDatabase, id: string, old: Value, value: Value): void {
  w.oracle.observe({ database: db.name, id, old, value, cause: 'application' })
}
