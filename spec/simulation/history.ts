// One random history: devices, servers, relays; the application writes between any two steps; requests and answers get lost, late and
// doubled; processes die; tombstones are collected; servers are wiped or restored; devices fall back to a backup.
//
// world.ts has what all parts of it share, chances.ts what may happen at any moment, step.ts what is looked at after each step of a sync,
// end.ts what has to hold at the end.

import { happen } from './chances.js'
import { database } from './databasePool.js'
import { end, type Outcome } from './end.js'
import type { Features } from './features.js'
import { beginUsers, openServersOf } from './hands.js'
import { pairsOf } from './pairs.js'
import type { ServerKind, Topology } from './topologies.js'
import { World } from './world.js'
import { writeRow } from './writes.js'

/** Runs the history of a seed. */
export async function history(
  seed: number,
  topology: Topology,
  trace: (line: string) => void = () => {},
  steps = 300,
  kind: ServerKind = 'sqlite',
  wanted: Partial<Features> = {},
): Promise<Outcome> {
  const w = new World(seed, topology, trace, kind, wanted)
  // time is what the history makes of it
  const realNow = Date.now
  let time = 1_000_000
  Date.now = () => (time += 3)
  try {
    await begin(w)
    await run(w, steps)
    return await end(w)
  } finally {
    Date.now = realNow
    await close(w)
  }
}

async function begin(w: World): Promise<void> {
  const { chance } = w.random
  for (const name of w.names) {
    const isServer = w.servers.has(name)
    const db = await database(name, w.schema, w.features.late.has(name), w.kind, [...w.servers].indexOf(name))
    w.databases.set(name, db)
    db.empty(`c${++w.collections}`)
    db.run('UPDATE wall SET time = 0')
    db.run('DELETE FROM rule')
    db.run('INSERT INTO rule VALUES (?)', isServer ? 1 : 0)
    w.removals.set(name, new Map())
    db.policy = isServer ? w.users?.policy : undefined
    if (isServer) beginUsers(w, db)
    // some databases hold rows from before they were synced
    if (chance(0.3)) {
      if (w.schema.isWide) db.run('BEGIN')
      for (const id of w.ids) if (chance(0.5)) writeRow(w, db, id)
      if (w.schema.isWide) db.run('COMMIT')
    }
  }
  for (const client of w.clients) openServersOf(w, client)
  for (const db of w.databases.values()) {
    db.onSave = () => w.save(db)
    w.save(db)
  }
  for (const name of w.servers) w.users?.watch.note(w.at(name))
}

async function run(w: World, steps: number): Promise<void> {
  const { chance, pick } = w.random
  const pairs = pairsOf(w)
  for (let i = 0; i < steps; i++) {
    const isDone = await happen(w, pairs)
    if (isDone && chance(0.002)) w.backUp(pick([...w.servers]))
  }
}

/** The databases serve the next history, as if nothing had been. */
async function close(w: World): Promise<void> {
  for (const db of w.databases.values()) {
    db.fault = undefined
    db.onSave = () => {}
    db.onLock = () => {}
    if (db.other || w.openTransactions.has(db.name)) db.run('ROLLBACK')
  }
  w.openTransactions.clear()
  if (w.schema.gained) for (const db of w.databases.values()) await db.close()
}
