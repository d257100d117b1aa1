// The end of a history: nothing goes wrong any more, all sync until nobody has anything to say, and then nothing is lost and everybody is equal.

import { grow } from './catastrophes.js'
import type { SimulatedDatabase } from './databases.js'
import { mend } from './mending.js'
import { isGone, type Value } from './oracle.js'
import { finish, finishAll, pairsOf } from './pairs.js'
import { rest, rowsOf } from './rest.js'
import { lostLinks } from './rowLinks.js'
import type { Users } from './users.js'
import type { World } from './world.js'

export interface Outcome {
  readonly problems: string[]
  readonly reached: Set<string>
  readonly rounds: number
}

/** Quiet: no more faults, the application mends what was rejected. */
export async function end(w: World): Promise<Outcome> {
  const { users, reached } = w
  w.hasFaults = false
  for (const name of w.openTransactions) w.rollback(w.at(name))
  w.openTransactions.clear()
  for (const db of w.databases.values()) db.fault = undefined
  for (const name of w.lacking.splice(0)) await grow(w, name)
  const problems: string[] = []
  if (w.features.rest) problems.push(...(await rest(w)))
  const { rounds, results } = await becomeQuiet(w)
  if (users) return { problems: [...problems, ...(await lookAtUsers(w, users, results))], reached, rounds }
  problems.push(...lookAtAll(w, rounds, results))
  const finals = (id: string) => [...w.databases.values()].map(db => w.snapshot(db).get(id) ?? null)
  if (!problems.length) problems.push(...w.oracle.missing(finals, w.names))
  return { problems, reached, rounds }
}

/** Rounds until two of them have nothing to say, or there were too many of them. */
async function becomeQuiet(w: World): Promise<{ rounds: number; results: string[] }> {
  const { users } = w
  const all = [...w.databases.values()]
  const rowsOfAll = () => all.map(db => rowsOf(w, db)).join()
  let results: string[] = []
  let wasQuiet = false
  let rounds = 0
  // what nobody was allowed to push is pushed when everybody may
  let isGenerous = users !== undefined && !users.areSynced && w.random.chance(0.4)
  for (; rounds < 30; rounds++) {
    for (const name of w.clients) mend(w, w.at(name))
    w.tries = rounds
    const rowsBefore = users && rowsOfAll()
    w.pushedRows = 0
    results = await finishAll(w)
    const isQuiet = (users ? rowsBefore === rowsOfAll() : w.pushedRows === 0) && isEqual(w) && results.every(r => r === 'ok')
    // who is asked about what could not be stored may answer otherwise
    if (isQuiet && users && w.tries < 10 && all.some(db => db.run("SELECT 1 FROM sync_unapplied WHERE reason = 'contested'").length))
      continue
    // at rest: nothing is pushed again. A parent that its child's sync brought back is done with when its own collection has been synced once more.
    if (isQuiet && wasQuiet && !isGenerous) break
    // the first one may only have ended what was under way
    wasQuiet = isQuiet && rounds > 0
    if (!isQuiet || !isGenerous) continue
    isGenerous = false
    // the next answers say that the sets are others, even where that brings no row
    wasQuiet = false
    for (const name of w.servers) users?.grantAll(w.at(name))
  }
  return { rounds, results }
}

const isEqual = (w: World) =>
  w.users ? !w.users.differences().length : new Set([...w.databases.values()].map(db => rowsOf(w, db))).size === 1

/** All databases have the same, and the change logs of devices have nothing that is not needed any more. */
function lookAtAll(w: World, rounds: number, results: readonly string[]): string[] {
  const problems = lostLinks(w)
  if (!isEqual(w)) problems.push(`diverged: ${[...w.databases.values()].map(db => db.name + rowsOf(w, db)).join(' ')}`)
  if (results.some(r => r !== 'ok')) problems.push(`ends with ${results}`)
  if (w.pushedRows) problems.push(`after ${rounds} rounds ${w.pushedRows} rows are pushed again`)
  for (const name of w.clients) {
    const db = w.at(name)
    if (db.run('SELECT 1 FROM sync_unapplied').length) problems.push(`a conflict is left on ${name}`)
    for (const table of ['sync_rejection', 'sync_seen'])
      if (db.run(`SELECT 1 FROM ${table}`).length) problems.push(`${table} is left on ${name}`)
    for (const table of db.tables)
      if (db.run(`SELECT 1 FROM sync_base_${table}`).length)
        problems.push(`images are left on ${name}: ${JSON.stringify(db.run(`SELECT * FROM sync_base_${table}`))}`)
  }
  return problems
}

/** Each device has what its user may see, nothing of what was to leave it, and nobody has anything to say any more. */
async function lookAtUsers(w: World, users: Users, results: readonly string[]): Promise<string[]> {
  const all = [...w.databases.values()]
  const problems = users.differences()
  if (results.some(r => r !== 'ok')) problems.push(`ends with ${results}`)
  problems.push(...(await lookAtSilence(w, all)))
  for (const db of all) if (db.run('SELECT 1 FROM sync_seen').length) problems.push(`sync_seen is left on ${db.name}`)
  problems.push(...users.watch.wrong, ...users.inVain())
  const finals = (id: string): Value[] =>
    all.map(db => w.snapshot(db).get(id) ?? null).filter((value, i) => isGone(value) || w.servers.has((all[i] as SimulatedDatabase).name))
  // what was not pushed for a reason; `differences` has looked whether there is one for what waits
  const isHeld = (db: SimulatedDatabase, id: string) =>
    ['sync_rejection', 'sync_no_access', 'sync_unapplied'].some(table => db.run(`SELECT 1 FROM ${table} WHERE id = ?`, id).length)
  const apart = (id: string) => all.flatMap(db => [w.keptApart(db, id), isHeld(db, id) ? (w.snapshot(db).get(id) ?? null) : null])
  if (!problems.length) problems.push(...w.oracle.missing(finals, w.names, apart, w.servers.size > 1))
  if (problems.length)
    for (const db of all)
      for (const [table, { columns, rows }] of db.dump())
        for (const row of rows) w.trace(`END ${db.name} ${table} ${columns.map((column, i) => `${column} ${row[i]}`).join(', ')}`)
  return problems
}

/** Once more, all sync: nothing is pushed, no clock moves, and every poll is answered with nothing new. */
async function lookAtSilence(w: World, all: readonly SimulatedDatabase[]): Promise<string[]> {
  const problems: string[] = []
  const clocks = () => all.map(db => `${db.name} ${db.run('SELECT "now" FROM sync_clock')[0]?.now}`).join()
  const before = clocks()
  w.pushedRows = 0
  w.news = 0
  for (const pair of pairsOf(w)) await finish(w, pair)
  const isTriedAgain = all.some(db => db.run('SELECT 1 FROM sync_rejection WHERE again = 1').length)
  if (!isTriedAgain) {
    if (w.pushedRows) problems.push(`at rest ${w.pushedRows} rows are pushed again`)
    if (clocks() !== before) problems.push(`at rest a clock moves: ${before} → ${clocks()}`)
  } else w.reached.add('at rest something is pushed with every sync')
  if (w.news && !isTriedAgain) problems.push(`at rest ${w.news} polls are answered with more than 304`)
  return problems
}
