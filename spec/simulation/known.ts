// What a device knows of what a server has.

import { baseOf } from '../../src/changes/servers/agreement.js'
import { isClean, openExchanges, readRowStates } from '../../src/sync/exchange.js'
import type { SimulatedDatabase } from './databases.js'
import type { KnownRow } from './journalCalls.js'
import type { Cells } from './oracle.js'
import type { World } from './world.js'

const cellsFrom = ({ a, b, c }: Readonly<Record<string, unknown>>) => ({ a, b, c }) as Cells

/** What is known of each row and of what the server has: the base, and the server's version where it is unapplied (null: removed there). */
export function knownRows(w: World, db: SimulatedDatabase, server: string): Map<string, KnownRow> {
  const states = new Map<string, KnownRow>()
  const servers = db.run('SELECT id FROM sync_server WHERE origin = ?', `http://${server}`).map(row => Number(row.id))
  for (const exchange of servers.length ? db.look(openExchanges(db.log, servers)) : []) {
    const { collection } = exchange
    const ids = w.ids.filter(id => db.tableOf(id) === collection.name)
    for (const [id, state] of db.look(readRowStates(exchange, ids))) {
      // of what is kept apart the note says what both sides knew
      const base = state.noAccess ? state.noAccess.base : baseOf(exchange.server, state)
      const remote = state.unapplied?.remote
      states.set(id, {
        base: base === undefined ? undefined : base === null ? 'gone' : cellsFrom(base),
        unapplied: remote ? cellsFrom(remote) : remote,
        ignored: state.unapplied || !isClean(exchange, state) ? [] : state.ignored.flatMap(p => state.version.value?.[p] ?? []).map(String),
      })
    }
  }
  return states
}
