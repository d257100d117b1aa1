// What happens to whole databases: a process dies, a server is wiped or restored, a device falls back to a backup, tombstones are collected,
// a clock is set, a table gets a column.

import { collectTombstones } from '../../server-koa/index.js'
import { WALL } from './databasePool.js'
import type { SimulatedDatabase } from './databases.js'
import type { World } from './world.js'

/** All syncs of a device end, wherever they are. */
export function stop({ zombies, processes }: World, client: string): void {
  for (let k = zombies.length; k--; ) if (zombies[k]?.client === client) zombies.splice(k, 1)
  for (const [id, p] of processes) if (p.client === client) processes.delete(id)
}

export function die(w: World, name: string): void {
  const db = w.at(name)
  stop(w, name)
  if (w.openTransactions.delete(name)) w.rollback(db)
  const last = w.saved.get(name)
  // a database in memory is what was saved of it last
  if (last) w.restore(name, last)
  w.trace(`CRASH ${name}`)
}

/** The application begins anew, with a column more. */
export async function grow(w: World, name: string): Promise<void> {
  stop(w, name)
  const db = w.at(name)
  if (w.openTransactions.delete(name)) w.rollback(db)
  const grown = await db.grow(WALL)
  w.databases.set(name, grown)
  w.forgetSeen(grown)
  // a backup of before is another matter
  w.backups.delete(name)
  grown.onSave = () => w.save(grown)
  w.save(grown)
  w.trace(`GROWN ${name}`)
  w.reached.add(w.servers.has(name) ? 'column gained by a server' : 'column gained')
}

/** A server is wiped, or restored from a backup: that is another history. */
export function reset(w: World, name: string): void {
  const db = w.at(name)
  const backup = w.backups.get(name)
  if (backup && w.random.chance(0.5)) w.restore(name, backup)
  else {
    db.empty('')
    w.removals.set(name, new Map())
  }
  db.run('UPDATE sync_clock SET collection = ?', `c${++w.collections}`)
  w.oracle.isWhole = false
  w.reached.add('server reset')
  w.trace(`RESET ${name}`)
}

/** A device is backed up, or is what it was then. */
export function fallBack(w: World, db: SimulatedDatabase): void {
  const { name } = db
  const backup = w.backups.get(name)
  if (!backup || !w.random.chance(0.5)) {
    w.backUp(name)
    return
  }
  stop(w, name)
  w.restore(name, backup)
  w.save(db)
  w.oracle.isWhole = false
  w.reached.add('device rolled back')
  w.trace(`ROLLBACK ${name}`)
}

export async function collect(w: World, db: SimulatedDatabase): Promise<void> {
  const now = nowOf(db)
  const horizon = Math.floor(now * (0.5 + w.random.next() / 2))
  const before = new Set(db.run('SELECT id FROM sync_tombstone').map(r => String(r.id)))
  await collectTombstones(db.dataSource, { olderThan: Date.now() + 3 - horizon })
  for (const r of db.run('SELECT id FROM sync_tombstone')) before.delete(String(r.id))
  w.trace(`COLLECT ${db.name} ${horizon}: ${[...before]}`)
  w.reached.add('collected')
  if ([...w.processes.values()].some(p => p.server === db.name && p.readsFull)) w.reached.add('collected during a full answer')
}

export function setClock(w: World, db: SimulatedDatabase): void {
  const { chance, next } = w.random
  const now = nowOf(db)
  db.run('UPDATE wall SET time = ?', chance(0.5) ? now + Math.floor(next() * 1000) : Math.floor(now / 2))
  w.reached.add('clock set')
}

const nowOf = (db: SimulatedDatabase) => Number(db.run('SELECT "now" FROM sync_clock')[0]?.now)

export async function changeSchema(w: World, db: SimulatedDatabase): Promise<void> {
  await db.changeSchema()
  w.reached.add('schema changed')
  w.save(db)
}
