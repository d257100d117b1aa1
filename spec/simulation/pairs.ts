// A client and a server, whose sync goes on by one step or to its end.

import { die } from './catastrophes.js'
import { endFault, injectFault } from './faults.js'
import { meetOther } from './hands.js'
import { Process } from './process.js'
import { step } from './step.js'
import type { World } from './world.js'

/** A client, and what it syncs with a server at once. */
export interface Pair {
  readonly client: string
  readonly server: string
  readonly tables: readonly string[]
}

export function pairsOf(w: World): Pair[] {
  return w.links.flatMap(([client, server]) => {
    const tables = w.at(client).log.collections.map(c => c.name)
    return (w.features.byCollection ? tables.map(table => [table]) : [tables]).map(some => ({ client, server, tables: some }))
  })
}

/** Lets a sync go on by one step, or begins it; gives how it ended. */
export async function advance(w: World, pair: Pair): Promise<string | undefined> {
  const { client, server } = pair
  const db = w.at(client)
  const id = `${client}→${server} ${pair.tables}`
  const p = w.processes.get(id) ?? begin(w, id, pair)
  const isFaulty = w.hasFaults && w.random.chance(w.odds.fault)
  if (isFaulty) injectFault(w, db)
  await step(w, p)
  const struck = isFaulty && db.fault === undefined
  endFault(db)
  if (struck && w.random.chance(0.5)) {
    die(w, client)
    w.reached.add('death inside a step')
    return 'fault'
  }
  if (p.result === undefined) return
  w.processes.delete(id)
  if (p.result === 'other user') await meetOther(w, client, server)
  return p.result
}

function begin(w: World, id: string, { client, server, tables }: Pair): Process {
  const db = w.at(client)
  const own = db.log.collections.filter(c => tables.includes(c.name))
  const remotes = own.map(c => db.run('SELECT id FROM sync_server WHERE collection = ? AND origin = ?', c.name, `http://${server}`)[0])
  const p = new Process(
    w,
    client,
    server,
    own,
    remotes.map(remote => Number(remote?.id)),
  )
  w.processes.set(id, p)
  if ([...w.processes.values()].some(q => q !== p && q.client === client && q.server === server && q.isAlive))
    w.reached.add('two collections at once')
  return p
}

/** Syncs to the end. */
export async function finish(w: World, pair: Pair): Promise<string> {
  let result: string | undefined
  for (let guard = 0; result === undefined && guard < 5_000; guard++) result = await advance(w, pair)
  return result ?? 'never ends'
}

/** Syncs all; what one server has is pushed to the other in the same round, as syncAll does. */
export async function finishAll(w: World): Promise<string[]> {
  const pairs = pairsOf(w)
  const results: string[] = []
  for (const client of w.clients)
    for (const pair of w.isTwo ? [...pairs, ...pairs] : pairs) if (pair.client === client) results.push(await finish(w, pair))
  return results
}
