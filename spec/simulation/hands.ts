// Who has a device in their hands, and what the host lets them see.

import { openServers } from '../../src/changes/servers/servers.js'
import { adopt, wipe } from '../../src/entity/users.js'
import { stop } from './catastrophes.js'
import type { SimulatedDatabase } from './databases.js'
import { cellsOf, isGone } from './oracle.js'
import { EVERYTHING } from './policies.js'
import { pathOf } from './requests.js'
import { choicesOf, USERS } from './schemas.js'
import { principalName } from './users.js'
import type { World } from './world.js'
import { writeRow } from './writes.js'

export function openServersOf(w: World, client: string): void {
  const db = w.at(client)
  for (const [c, server] of w.links)
    if (c === client)
      for (const collection of db.log.collections)
        db.look(openServers(db.log.database, [{ collection, url: `http://${server}${pathOf(collection)}` }], `http://${server}`))
}

// ------------------------------------------------------------ the host

/** In the beginning the host has rows, lists and members. */
export function beginUsers(w: World, db: SimulatedDatabase): void {
  w.users?.begin(db)
  if (!w.users?.areSynced || w.clients.has(db.name)) return
  db.run('BEGIN')
  for (const spec of w.schema.tables) if (spec.name !== 'part') for (const id of spec.ids) if (w.random.chance(0.7)) writeRow(w, db, id)
  db.run('COMMIT')
}

/** The host grants, revokes, or changes a right. */
export function grant(w: World, db: SimulatedDatabase): void {
  if (!w.users?.areSynced) removeLost(w, db.name, w.users?.grant(db))
  else if (!w.clients.has(db.name)) writeMember(w, db)
}

/** The host grants, revokes, or changes a right, which is a row like any other. */
function writeMember(w: World, db: SimulatedDatabase): void {
  const id = w.random.pick(w.ids.filter(each => db.tableOf(each) === 'member'))
  const before = w.snapshot(db).get(id)
  db.run('BEGIN')
  writeRow(w, db, id)
  db.run('COMMIT')
  const after = w.snapshot(db).get(id)
  w.reached.add(isGone(after) ? 'revoked' : isGone(before) ? 'granted' : 'right changed')
}

/** Who has lost a list, and has not heard of it, removes a row of it. */
function removeLost(w: World, server: string, lost: { who: string; list: string } | undefined): void {
  for (const [client, from] of w.links) {
    if (!lost || from !== server || w.users?.userOf(client) !== lost.who || !w.losing.chance(w.features.losing)) continue
    const db = w.at(client)
    const tables = w.schema.tables.filter(t => choicesOf(t).some(({ column }) => column === 'list'))
    const rows = tables.flatMap(({ name }) => db.run(`SELECT id FROM ${name} WHERE list = ? ORDER BY id`, lost.list))
    if (!rows.length || w.openTransactions.has(client)) continue
    w.application.remove(db, String(w.losing.pick(rows).id))
    w.save(db)
    w.reached.add('removed what was lost')
  }
}

// ------------------------------------------------------------ devices change hands

/** Has the device heard from all its servers whose rows it holds? */
export const isBound = (w: World, client: string) =>
  w.links.every(([c, server]) => c !== client || w.knownPrincipal(client, server) !== undefined)

/** What an application does when it hears that somebody else has signed in than the one whose rows are here. */
export async function meetOther(w: World, client: string, server: string): Promise<void> {
  const { chance } = w.random
  w.reached.add('another user signs in')
  const known = w.knownPrincipal(client, server)
  const former = [...USERS, EVERYTHING].find(user => principalName(user) === known)
  if (!w.users || former === undefined) return
  if (chance(0.3)) {
    w.users.change(client, former)
    w.reached.add('back to the user before')
  } else await handOver(w, client, chance(0.7))
}

/** A device is emptied, or its rows become the new user's. */
export async function handOver(w: World, client: string, isWiped: boolean): Promise<void> {
  const db = w.at(client)
  if (w.openTransactions.has(client)) return
  if (w.random.chance(0.5)) stop(w, client)
  const isDone = isWiped ? await wipeDevice(w, db) : await adoptDevice(w, db)
  if (!isDone) return
  // a sync that is under way finds that its server is not known any more
  for (const p of [...w.processes.values(), ...w.zombies]) if (p.client === client) p.isHandedOver = true
  w.forgetSeen(db)
  openServersOf(w, client)
  w.save(db)
}

/** False: the user was asked about what is not pushed, and wants to keep it. */
async function wipeDevice(w: World, db: SimulatedDatabase): Promise<boolean> {
  const { name } = db
  const values = [...[...w.snapshot(db).values()].flatMap(cellsOf), ...valuesApart(w, db)]
  const contents = () => JSON.stringify([...db.dump()].filter(([table]) => table !== 'sync_clock'))
  const before = contents()
  const agrees = w.random.chance(0.8)
  let asked = 0
  const isDone = await wipe(db.dataSource, unpushed => {
    asked = unpushed
    return agrees
  })
  w.trace(`WIPE ${name} ${asked} ${isDone}`)
  w.reached.add(!asked ? 'wiped' : isDone ? 'wiped after asking' : 'not wiped after asking')
  if (isDone !== (agrees || !asked)) throw new Error(`${name} was ${isDone ? '' : 'not '}wiped, ${asked} rows were asked about.`)
  if (!isDone) {
    if (contents() !== before) throw new Error(`${name} was changed by a wipe that was not to be.`)
    return false
  }
  const left = [...db.dump()].filter(([table, { rows }]) => rows.length && table !== 'sync_clock')
  if (left.length) throw new Error(`a wipe leaves on ${name} ${JSON.stringify(left)}`)
  if (asked) giveUp(w, values)
  w.removals.set(name, new Map())
  return true
}

async function adoptDevice(w: World, db: SimulatedDatabase): Promise<boolean> {
  const { name } = db
  const kept = valuesApart(w, db)
  // a row that was made anew meanwhile, and removed, is not missed
  const isLost = w.ids.some(id => !isGone(w.keptApart(db, id)) && (w.snapshot(db).get(id) ?? null) === null)
  let asked = 0
  await adopt(db.dataSource, unpushed => {
    asked = unpushed
    return true
  })
  w.trace(`ADOPT ${name} ${asked}`)
  w.reached.add(asked ? 'adopted after asking' : 'adopted')
  if (isLost && !asked) throw new Error(`${name} was adopted, and what it kept apart was dropped without a word.`)
  // what the former user has removed is not removed for this one, nor changed what that one does not see
  giveUp(w, kept)
  // one name for all that went along: of one row it may be on a server, and not of another
  for (const [id, removal] of w.removalsOf(name)) giveUp(w, [removal], [id])
  return true
}

const valuesApart = (w: World, db: SimulatedDatabase) => w.ids.flatMap(id => cellsOf(w.keptApart(db, id)))

/** What is on no server is lost with the wish of a user. */
export function giveUp(w: World, values: readonly string[], ids: readonly string[] = w.ids): void {
  const rows = [...w.servers].map(name => w.snapshot(w.at(name)))
  const there = rows.flatMap(of => ids.flatMap(id => cellsOf(of.get(id))))
  w.oracle.giveUp(values.filter(value => !there.some(each => w.oracle.isAfter(each, value))))
}
