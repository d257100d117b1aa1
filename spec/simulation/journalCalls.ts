// What people do in the journal of a device, at any moment of a sync, also twice at once, and what may come of it: nothing is lost without a decision
// that can be undone.

import { SyncError } from '../../src/errors.js'
import { SyncJournal } from '../../src/sync/conflicts/journal.js'
import type { SimulatedDatabase } from './databases.js'
import { type Cells, cellsOf, isGone, isSame, type Oracle, type Value } from './oracle.js'
import type { Random } from './random.js'
import { PROPERTIES } from './schemas.js'

export interface KnownRow {
  /** The last version that both sides know; 'gone': there was none. */
  readonly base: 'gone' | Cells | undefined
  /** The server's version, where it is unapplied; null: removed there. */
  readonly unapplied: Cells | null | undefined
  /** Values that the server has no column for, of a row which is as it was pushed. */
  readonly ignored: readonly string[]
}

export interface JournalUse {
  readonly random: Random
  readonly oracle: Oracle
  readonly reached: Set<string>
  readonly trace: (line: string) => void
  snapshot(db: SimulatedDatabase): Map<string, Value>
  removalsOf(name: string): Map<string, string>
  /** What is known of each row and each of the servers. */
  lookAt(db: SimulatedDatabase): Map<string, KnownRow>[]
  /** What was changed in a row that is not to be seen any more. */
  keptApart(db: SimulatedDatabase, id: string): Value
  /** The user has dropped what no other database need have. */
  giveUp(tokens: readonly string[]): void
  /** The token of the removal of a row that is in the journal. */
  waitingRemovals(db: SimulatedDatabase, id: string): string[]
}

/** Calls the journal once, or twice at once. */
export async function callJournal(db: SimulatedDatabase, use: JournalUse): Promise<void> {
  const { random, oracle, reached, trace, snapshot, removalsOf } = use
  const { chance, pick } = random
  const { ids } = db.schema
  const before = snapshot(db)
  const known = use.lookAt(db)
  const kept = new Map(ids.map(id => [id, use.keptApart(db, id)]))
  const removals = new Map(removalsOf(db.name))
  const lastDecision = Number(db.run('SELECT max(id) AS id FROM sync_resolution')[0]?.id ?? 0)
  const hasNews = (id: string) => {
    const value = before.get(id) ?? null
    return known.some(rows => {
      const state = rows.get(id)
      if (!state) return false
      const base = state.base === 'gone' ? null : state.base
      return state.unapplied !== undefined || (base === undefined ? !isGone(value) : !isSame(base, value))
    })
  }
  const interesting = ids.filter(id => hasNews(id) || kept.get(id))
  const one = () => (interesting.length && chance(0.8) ? pick(interesting) : pick(ids))
  const first = one()
  const targets = chance(0.3) ? [first, chance(0.6) ? first : one()] : [first]
  if (targets.length > 1) reached.add('two journal calls at once')
  if (db.run('SELECT 1 FROM sync_server WHERE push_key IS NOT NULL').length) reached.add('journal call during a push')

  const undone: string[] = []
  const calls = targets.map(id => {
    const collection = db.log.collections.find(c => c.name === db.tableOf(id))
    if (!collection) throw new Error(`There is no collection of ${id}.`)
    const journal = new SyncJournal(db.log, collection)
    const kind = pick(['discard', 'discard', 'resolve', 'remove', 'retry', 'undo'] as const)
    trace(`JOURNAL ${db.name} ${kind} ${id}`)
    reached.add(`journal: ${kind}`)
    const local = before.get(id) ?? kept.get(id) ?? null
    if (kind === 'discard') return journal.discard(id)
    if (kind === 'retry') return journal.retry(id)
    if (kind === 'remove') return journal.resolve(id, null)
    if (kind === 'resolve') {
      const remote = known.map(rows => rows.get(id)?.unapplied).find(row => row)
      return journal.resolve(id, { id, a: oracle.token(`${db.name}j`, ...cellsOf(local), ...cellsOf(remote)) } as never)
    }
    const resolved = db.run('SELECT id, row_id FROM sync_resolution WHERE collection = ?', collection.name)
    if (!resolved.length) return Promise.resolve()
    const decision = pick(resolved)
    undone.push(String(decision.row_id))
    return journal.undo(Number(decision.id), pick([undefined, 'local', 'server', 'base'] as const))
  })
  for (const result of await Promise.allSettled(calls)) {
    if (result.status === 'fulfilled') continue
    trace(`  ${result.reason}`)
    if (!(result.reason instanceof SyncError)) throw result.reason
  }

  const after = snapshot(db)
  for (const id of ids) if (kept.get(id) && !use.keptApart(db, id)) use.giveUp(cellsOf(kept.get(id)))
  const resolved = new Set(db.run('SELECT row_id FROM sync_resolution WHERE id > ?', lastDecision).map(row => String(row.row_id)))
  for (const id of ids) {
    const [old, now] = [before.get(id) ?? null, after.get(id) ?? null]
    // a decision may leave the row as it is, and only what waited goes
    if ((isGone(old) ? isGone(now) : isSame(old, now)) && !resolved.has(id)) continue
    if (!targets.includes(id) && !undone.includes(id)) {
      reached.add('journal call on a row with others')
      if (isGone(now) && !isGone(old) && hasNews(id) && !resolved.has(id) && isGone(use.keptApart(db, id)))
        throw new Error(`a journal call removed ${id} on ${db.name}, which was never told, and no decision brings it back`)
    }
    let value = now
    if (isGone(now)) {
      const token = oracle.token(`${db.name}u`, ...cellsOf(old), ...use.waitingRemovals(db, id))
      removalsOf(db.name).set(id, token)
      value = { removed: token }
      // where it was never pushed no other database has ever had it
      if (known.every(rows => rows.get(id)?.base === 'gone')) oracle.neverTold.add(token)
      for (const t of use.waitingRemovals(db, id)) oracle.inherit(t, token)
    }
    // who resolves has seen all sides, and none of them is lost
    const sides: Value[] = [
      kept.get(id) ?? null,
      old && isGone(old) ? { removed: removals.get(id) ?? old.removed } : old,
      ...known.flatMap(rows => rows.get(id)?.unapplied ?? []),
      ...known.map(rows => rows.get(id)?.base).filter(base => typeof base === 'object'),
    ]
    for (const side of sides) {
      both(oracle, value, side)
      // where nothing stands in the end nothing can be as good
      if (!isGone(side)) oracle.discard(side, value)
    }
    for (const removal of use.waitingRemovals(db, id)) both(oracle, value, { removed: removal })
    oracle.observe({ database: db.name, id, old, value, cause: 'application' })
  }
}

/** The one is as good as the other. */
function both(oracle: Oracle, x: Value, y: Value): void {
  const pairs =
    isGone(x) || isGone(y) ? cellsOf(x).flatMap(s => cellsOf(y).map(t => [s, t] as const)) : PROPERTIES.map(p => [x[p], y[p]] as const)
  for (const [s, t] of pairs) {
    oracle.inherit(s, t)
    oracle.inherit(t, s)
  }
}
