// The same history in the model (model.js) and in the shipped code: one random schedule of whole operations drives both, and after each of
// them both stand in the same place. A difference is a fault of one of the two.
//   node sameHistory.js [--seeds N] [--first S] [--topology star,relay,two,users,users-relay,users-two] [--operations N] [--show N] [--trace]
//                       [--without remedy,…]
//
// With users (users, users-relay, users-two) servers show their callers a part of the rows. The host grants and revokes memberships and moves rows, servers
// forget sets of keys, devices change hands, and are wiped or adopted.
//
// What is not compared, and why that says nothing about either:
// - Stamps as numbers. Where rows of one step share a stamp in the code each has its own in the model (those that one page merged), or the
//   other way round (a bulk write: SQLite ticks for each row). Stamps are asked for their order alone, so the order of a database's rows is
//   compared, except of those that share a stamp on one side. Every clock begins at 1: before the first stamp a device asks
//   with since=0 again and again, and the model calls the empty answer a full one where the code says 304.
// - `serverDate` as a number. What counts is what an answer from there would tell, and whether it would be a reset.
// - The order in which the model's maps are walked: where it gives stamps it is made the code's (`sortAll` in sameModelSync.ts).
// - Images that are no base of anything: the model sweeps them after an answered push, the code also where nothing was to tell. Both are
//   compared as swept. So are rejections of versions that have moved on, which the code forgets and the model keeps.
// - Names of users and of sets of keys, which the code hashes: what a set holds is compared.
// - A write that changes nothing: the code's triggers stamp it, the model does not. It is not drawn.
// - A horizon is drawn as a row's tombstone, and never below an earlier one: there the code collects once more what lies below that, and the
//   model does not. It covers all that shares a stamp with the row in the model.
// - The order of the rows in a body and in a page.
//
// sameWorld.ts has what all parts of it share, sameChances.ts what may happen at any moment, sameSyncs.ts what a sync is on both sides, sameStates.ts how
// both stand after an operation.

import { pathToFileURL } from 'node:url'
import 'reflect-metadata'
import * as model from './model.js'
import { empty } from './sameCatastrophes.js'
import { operate } from './sameChances.js'
import { type Both, database } from './sameDatabases.js'
import { beginUsers, openServersOf } from './sameHands.js'
import { codeState, modelState, ranks, SORTED } from './sameStates.js'
import { SameWorld } from './sameWorld.js'
import { drawValue, store } from './sameWrites.js'
import type { Topology } from './topologies.js'

const OPERATIONS = 40

/** Runs the history of a seed; gives the differences after the first operation that shows any. */
export async function sameHistory(
  seed: number,
  topology: Topology,
  operations = OPERATIONS,
  trace: (line: string) => void = () => {},
): Promise<string[]> {
  const w = new SameWorld(seed, topology, trace)
  for (const name of w.names) await begin(w, name)
  for (const client of w.clients) openServersOf(w, client)
  for (let i = 1; i <= operations; i++) {
    const [what, differences] = await operate(w)
    if (what === undefined) continue
    trace(`${i} ${what}`)
    differences.push(...compareStates(w))
    if (differences.length) return differences.map(d => `operation ${i} (${what}): ${d}`)
  }
  return []
}

async function begin(w: SameWorld, name: string): Promise<void> {
  const { chance } = w.random
  const both: Both = { code: await database(name, w.isOfUsers), model: new model.Database('') }
  w.databases.set(name, both)
  empty(w, both, `c${++w.collections}`)
  both.code.policy = w.policy
  if (w.isOfUsers) beginUsers(w, name)
  both.code.run('DELETE FROM rule')
  both.code.run('INSERT INTO rule VALUES (?)', w.servers.has(name) ? 1 : 0)
  both.code.run('UPDATE wall SET time = 0')
  // some databases hold rows from before they were synced
  if (chance(0.3)) for (const id of SORTED) if (chance(0.6)) store(w, name, id, drawValue(w, name, null))
}

function compareStates({ databases, links }: SameWorld): string[] {
  const differences: string[] = []
  const [inModel, inCode] = [modelState(databases, links), codeState(databases, links)]
  for (const [key, m] of inModel) if (m !== inCode.get(key)) differences.push(`${key}: model ${m}; code ${inCode.get(key)}`)
  return [...differences, ...ranks(databases)]
}

// ---------------------------------------------------------------- by hand

async function run(): Promise<void> {
  const option = (name: string, otherwise: string): string => {
    const i = process.argv.indexOf(`--${name}`)
    return i < 0 ? otherwise : (process.argv[i + 1] ?? otherwise)
  }
  const [seeds, first, show] = [Number(option('seeds', '60')), Number(option('first', '1')), Number(option('show', '5'))]
  const trace = process.argv.includes('--trace') ? (line: string) => console.log(line) : undefined
  for (const remedy of option('without', '').split(',').filter(Boolean)) model.without.add(remedy)
  let failed = 0
  const start = performance.now()
  for (const topology of option('topology', 'star,relay,two,users,users-relay,users-two').split(',') as Topology[]) {
    for (let seed = first; seed < first + seeds; seed++) {
      const differences = await sameHistory(seed, topology, Number(option('operations', String(OPERATIONS))), trace).catch(error => [
        String(error?.stack ?? error),
      ])
      if (differences.length && ++failed <= show) console.log(`${topology} seed ${seed}:\n  ${differences.slice(0, 6).join('\n  ')}`)
    }
    console.log(`${topology}: ${seeds} seeds from ${first}, ${Math.round((performance.now() - start) / 1000)} s`)
  }
  console.log(`${failed} histories differ`)
  process.exit(failed ? 1 : 0)
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await run()
