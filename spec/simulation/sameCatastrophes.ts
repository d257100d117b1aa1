// What happens to whole databases on both sides: tombstones are collected, a server is wiped or restored, a device falls back to a backup.

import { collectTombstones } from '../../server-koa/index.js'
import * as model from './model.js'
import { type Both, copyModel, modelRules } from './sameDatabases.js'
import { stampsOfCode } from './sameStates.js'
import type { SameWorld } from './sameWorld.js'

/** Up to a tombstone. */
export async function collect(w: SameWorld, name: string): Promise<string | undefined> {
  const { code, model: db } = w.at(name)
  const tombstones = [...db.versions].filter(([, v]) => model.gone(v.value))
  if (!tombstones.length) return
  const [id, { stamp }] = w.random.pick(tombstones)
  const stamps = stampsOfCode(code)
  // what shares a stamp with it in the model comes within it in the code
  const horizon = Math.max(...[...db.versions].filter(([, v]) => v.stamp === stamp).map(([x]) => stamps.get(x)?.stamp ?? 0))
  db.collect(Math.max(db.horizon, stamp)) // never below an earlier horizon: the code looks after that itself
  const realNow = Date.now
  Date.now = () => 1_000_000_000
  try {
    await collectTombstones(code.dataSource, { olderThan: 1_000_000_000 - horizon })
  } finally {
    Date.now = realNow
  }
  return `${name} collects up to ${id}`
}

/** A server is wiped, or restored from a backup: that is another history. */
export function reset(w: SameWorld, name: string): string {
  const both = w.at(name)
  const backup = w.backups.get(name)
  const collection = `c${++w.collections}`
  if (backup && w.random.chance(0.7)) {
    both.code.restore(backup.dump)
    both.model = copyModel(backup.model)
    both.code.run('UPDATE sync_clock SET collection = ?', collection)
    both.model.collection = collection
    return `${name} is restored as ${collection}`
  }
  empty(w, both, collection)
  return `${name} is wiped, and is ${collection}`
}

/** Nothing is in it, and its clock begins at 1. */
export function empty({ policy }: SameWorld, both: Both, collection: string): void {
  both.code.empty(collection)
  both.code.run('UPDATE sync_clock SET now = 1')
  both.model = new model.Database(collection)
  both.model.now = 1
  if (policy) both.model.rules = modelRules(policy)
}

/** A database is backed up; a device may fall back to what it was then. */
export function backUp(w: SameWorld, name: string): string {
  const both = w.at(name)
  const backup = w.backups.get(name)
  if (w.servers.has(name) || !backup || w.random.chance(0.5)) {
    w.backups.set(name, { dump: both.code.dump(), model: copyModel(both.model) })
    return `${name} is backed up`
  }
  both.code.restore(backup.dump)
  both.model = copyModel(backup.model)
  return `${name} falls back to its backup`
}
