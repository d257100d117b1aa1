// What an application does about rows that were rejected, or wait for ever: it writes them anew.

import type { SimulatedDatabase } from './databases.js'
import { type Cells, isGone } from './oracle.js'
import { keysOf } from './rejections.js'
import type { World } from './world.js'
import { observeApplication } from './writes.js'

/** What a server rejected, the application writes anew. */
export function mend(w: World, db: SimulatedDatabase): void {
  if (w.schema.isWide) mendUnique(w, db)
  for (const [id, value] of w.snapshot(db)) {
    if (isGone(value) || !value || !String((value as Cells).c).endsWith('!')) continue
    const old = value as Cells
    const mended = { ...old, c: w.oracle.token('fix', old.c) }
    db.run(`UPDATE ${db.tableOf(id)} SET c = ? WHERE id = ?`, mended.c, id)
    observeApplication(w, db, id, old, mended)
    w.save(db)
  }
}

/** A unique value that two rows want goes to one of them. */
function mendUnique(w: World, db: SimulatedDatabase): void {
  const rejected = db.run("SELECT id FROM sync_rejection WHERE code = 'not-unique'").map(row => String(row.id))
  // of what users see, a row that they may not push has the value: no decision about the conflict can be stored
  const reasons = w.users ? "('not-unique', 'contested')" : "('not-unique')"
  const holders = db.run(`SELECT id, remote, reason FROM sync_unapplied WHERE reason IN ${reasons} AND remote IS NOT NULL`).flatMap(row => {
    const remote = JSON.parse(String(row.remote)) as Record<string, unknown>
    const spec = db.specOf(String(row.id))
    const those = keysOf(spec).flatMap(columns => {
      if (columns.some(c => remote[c] === null || remote[c] === undefined)) return []
      const where = columns.map(c => `"${c}" = ?`).join(' AND ')
      return db.run(`SELECT id FROM ${spec.name} WHERE ${where} AND id <> ?`, ...columns.map(c => remote[c]), row.id).map(r => String(r.id))
    })
    // neither side's row has it, but what comes of both
    return those.length || row.reason === 'contested' ? those : [String(row.id)]
  })
  const ids = new Set([...rejected, ...holders])
  if (!ids.size) return
  db.run('BEGIN')
  for (const id of ids) if (!isGone(w.snapshot(db).get(id))) w.application.free(db, id)
  db.run('COMMIT')
  w.save(db)
}
