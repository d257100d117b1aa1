// Where a server is on another database than SQLite, transactions of the application's run beside the engine's, and one waits for the other.

import type { SimulatedDatabase } from './databases.js'
import type { OTHER_STATES } from './states.js'
import type { World } from './world.js'
import { writeRow, writeWhatNeverWas } from './writes.js'

/**
 * Does some of the engine's work, with luck beside a transaction of the application's. It ends where the engine is about to wait for it, so that
 * the order of things is the same each time; what only reads does not wait. `look` is called when all is written that was there before the work.
 */
export async function beside<T>(
  w: World,
  db: SimulatedDatabase,
  state: (typeof OTHER_STATES)[number],
  look: () => void,
  work: () => Promise<T>,
): Promise<T> {
  const { chance } = w.random
  if (!db.other || !w.hasFaults || !chance(w.odds.transaction)) {
    look()
    return work()
  }
  const clock = () => Number(db.run('SELECT "now" FROM sync_clock')[0]?.now)
  const before = clock()
  const comesToNothing = chance(0.4)
  if (comesToNothing) look()
  const write = () => {
    for (const id of w.ids) if (chance(0.3)) writeRow(w, db, id)
  }
  db.run('BEGIN')
  if (comesToNothing) writeWhatNeverWas(w, db)
  else write()
  const isHeld = clock() > before
  if (!isHeld) {
    // nothing was written, so nobody waits
    w.rollback(db)
    if (!comesToNothing) look()
    return work()
  }
  w.reached.add(state)
  w.trace(`  TRANSACTION on ${db.name}`)
  let isWaiting = false
  const waiting = new Promise<void>(resolve => {
    db.onLock = () => {
      isWaiting = true
      resolve()
    }
  })
  const working = work()
  await Promise.race([waiting, working.catch(() => {})])
  db.onLock = () => {}
  if (isWaiting) {
    w.reached.add('step waits for a transaction')
    await new Promise(resolve => setTimeout(resolve, 2))
  }
  if (comesToNothing) w.rollback(db)
  else {
    write()
    look()
    db.run('COMMIT')
  }
  w.trace(`  ${comesToNothing ? 'ROLLBACK' : 'COMMIT'} on ${db.name}`)
  return working
}
