// What may happen at any moment of a history. The order in which it is drawn is part of what a seed means.

import { changeSchema, collect, die, fallBack, grow, reset, setClock } from './catastrophes.js'
import type { SimulatedDatabase } from './databases.js'
import { giveUp, grant, handOver, isBound } from './hands.js'
import { callJournal } from './journalCalls.js'
import { knownRows } from './known.js'
import { advance, type Pair } from './pairs.js'
import type { Process } from './process.js'
import { lookAtTree, noteCircles } from './relatives.js'
import type { Request } from './requests.js'
import { serve } from './serving.js'
import { step } from './step.js'
import type { Users } from './users.js'
import type { World } from './world.js'
import { write } from './writes.js'

/** One of all that may happen. False: what was drawn cannot be now. */
export async function happen(w: World, pairs: readonly Pair[]): Promise<boolean> {
  const { chance, pick } = w.random
  const { odds, users, features, openTransactions, zombies } = w
  const aServer = () => w.at(pick([...w.servers]))
  const devices = () => [...w.clients].filter(name => !w.servers.has(name))
  if (w.lacking.length && chance(0.015)) await grow(w, drawOut(w, w.lacking))
  else if (users && chance(users.odds.grant)) grant(w, aServer())
  else if (users && chance(users.odds.forget)) users.forget(aServer())
  else if (users && chance(users.odds.change)) changeHands(w, users, pick(devices()))
  else if (users && chance(users.odds.wipe)) await handOver(w, pick(devices()), true)
  else if (features.journal && chance(features.journal)) return await unlessOpen(w, pick([...w.clients]), useJournal)
  else if (chance(odds.write)) writeSomewhere(w, pick(w.names))
  else if (openTransactions.size && chance(0.3)) endTransaction(w, pick([...openTransactions]))
  else if (zombies.length && chance(0.1)) await stepZombie(w, pick(zombies))
  else if (chance(odds.zombie)) forgetOne(w)
  else if (chance(odds.crash)) crash(w, pick([...w.clients]))
  else if (chance(odds.collect)) return await unlessOpen(w, pick(w.names), collect)
  else if (w.late.length && chance(0.1)) await serve(w, drawOut<Request>(w, w.late))
  else if (chance(odds.wall)) return await unlessOpen(w, pick(w.names), setClock)
  else if (chance(odds.schema)) return await unlessOpen(w, pick(w.names), changeSchema)
  else if (chance(odds.wipe)) return resetUnlessServing(w, pick([...w.servers].filter(n => !w.clients.has(n))))
  else if (chance(odds.rollback)) return await unlessOpen(w, pick(w.names.filter(n => !w.servers.has(n))), fallBack)
  else await advance(w, pick(pairs))
  return true
}

function drawOut<T>({ random }: World, list: T[]): T {
  return list.splice(Math.floor(random.next() * list.length), 1)[0] as T
}

/** Not while a transaction of the application's is open. */
async function unlessOpen(w: World, name: string, act: (w: World, db: SimulatedDatabase) => Promise<void> | void): Promise<boolean> {
  if (w.openTransactions.has(name)) return false
  await act(w, w.at(name))
  return true
}

function resetUnlessServing(w: World, name: string): boolean {
  if (w.serving.get(name)) return false
  reset(w, name)
  return true
}

/** Somebody else takes a device, which knows whose rows it holds. */
function changeHands(w: World, users: Users, client: string): void {
  if (isBound(w, client)) users.change(client)
}

/** On devices as a rule. */
function writeSomewhere(w: World, name: string): void {
  if (!w.servers.has(name) || w.random.chance(w.odds.hostWrite * 10)) write(w, w.at(name))
}

function endTransaction(w: World, name: string): void {
  w.openTransactions.delete(name)
  w.rollback(w.at(name))
  w.reached.add('transaction open over a step')
}

async function stepZombie(w: World, zombie: Process): Promise<void> {
  await step(w, zombie)
  if (zombie.result !== undefined) w.zombies.splice(w.zombies.indexOf(zombie), 1)
}

function crash(w: World, name: string): void {
  die(w, name)
  w.reached.add('crash')
}

/** A sync goes on beside the next one of the same. */
function forgetOne({ random, processes, zombies, reached }: World): void {
  const [id, p] = random.pick([...processes]) ?? []
  if (id === undefined || !p) return
  zombies.push(p)
  processes.delete(id)
  reached.add('two syncs at once')
}

async function useJournal(w: World, db: SimulatedDatabase): Promise<void> {
  const { random, oracle, reached, trace, links } = w
  noteCircles(w)
  await callJournal(db, {
    ...{ random, oracle, reached, trace },
    snapshot: of => w.snapshot(of),
    removalsOf: name => w.removalsOf(name),
    keptApart: (of, id) => w.keptApart(of, id),
    giveUp: tokens => giveUp(w, tokens),
    lookAt: of => links.filter(([client]) => client === of.name).map(([, server]) => knownRows(w, of, server)),
    waitingRemovals: (of, id) =>
      links.flatMap(([client, server]) => (client === of.name ? (w.journalRemovals.get(client + server + id) ?? []) : [])),
  })
  lookAtTree(w, db, {})
  w.save(db)
}
