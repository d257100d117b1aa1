// Who is asked about conflicts decides at random, and tells what was decided to who looks at the next step.

import type { Conflict, ConflictUpdate } from '../../src/sync/conflicts/handlers.js'
import { PROPERTIES } from './databases.js'
import { type Cells, isGone, type Value } from './oracle.js'
import type { Process } from './process.js'
import type { World } from './world.js'

/** What the other side was of each row that was decided, and what its removal is called where that was taken. */
export type Resolved = Map<string, { remote: Value; removal?: string | undefined }>

/** A conflict, and its sides when the question was asked. */
interface Question {
  readonly conflict: Conflict
  readonly local: Value
  readonly remote: Value
  readonly base: Cells | null | undefined
}

/** Looks at the conflicts now, and decides them later. */
export function decideFor(w: World, p: Process, conflicts: Conflict[], updates: ConflictUpdate[]): () => Resolved {
  if (w.schema.linked && conflicts.some(({ id }) => id.includes('/')))
    throw new Error(`somebody is asked about links: ${conflicts.map(c => c.id)}`)
  const questions = conflicts.map(conflict => questionOf(w, p, conflict))
  return () => {
    const resolved: Resolved = new Map()
    for (const question of questions) decide(w, p, question, updates, resolved)
    return resolved
  }
}

function questionOf(w: World, p: Process, conflict: Conflict): Question {
  const cells = (row: object | null): Cells | null => row && ({ a: (row as Cells).a, b: (row as Cells).b, c: (row as Cells).c } as Cells)
  const db = w.at(p.client)
  const local: Value = cells(conflict.local) ?? w.snapshot(db).get(conflict.id) ?? w.keptApart(db, conflict.id)
  const removed =
    w.journalRemovals.get(`${p.client}${p.server}${conflict.id}`) ?? (w.users && conflict.base === null ? invent(w) : 'unknown')
  const remote: Value = cells(conflict.remote) ?? { removed }
  return { conflict, local, remote, base: conflict.base ? cells(conflict.base) : conflict.base }
}

function invent(w: World): string {
  const token = w.oracle.token('none')
  w.invented.add(token)
  return token
}

function decide(w: World, p: Process, question: Question, updates: ConflictUpdate[], resolved: Resolved): void {
  const { chance } = w.random
  const { reached } = w
  const { conflict, local, remote, base } = question
  reached.add(isGone(local) || isGone(remote) ? 'conflict with a removal' : base === undefined ? 'conflict without base' : 'conflict')
  if (conflict.children.length) reached.add('children in a conflict')
  w.trace(
    `    ask ${p.client} ${conflict.id} mine ${JSON.stringify(local)} remote ${JSON.stringify(remote)} base ${JSON.stringify(base)} ${conflict.properties}`,
  )
  if (w.hasFaults && chance(w.odds.leave)) {
    reached.add('conflict left waiting')
    return
  }
  resolved.set(conflict.id, { remote })
  if (w.schema.isWide && !w.hasFaults && w.tries > 5 && !isGone(local) && !isGone(remote)) {
    // who sees a part of the rows may have one of the circle that cannot be moved back
    if (w.users && w.tries > 7) {
      const ours = conflict.local as Record<string, unknown>
      updates.push({ id: conflict.id, ...Object.fromEntries(conflict.properties.map(p => [p, ours[p] ?? null])) })
    } else conflict.takeRemote()
    return
  }
  if (isGone(local) || isGone(remote)) {
    const takesRemote = chance(0.5)
    if (takesRemote) {
      conflict.takeRemote()
      resolved.set(conflict.id, { remote, removal: remote && isGone(remote) ? remote.removed : undefined })
    } else updates.push(isGone(local) ? { id: conflict.id, _removed: true } : { id: conflict.id })
    return
  }
  const update: ConflictUpdate = { id: conflict.id }
  for (const property of conflict.properties) update[property] = chosen(w, conflict, property, local, remote)
  updates.push(update)
}

/** A value for a property that both sides have changed. With two servers the answer has to be the same wherever it is given. */
function chosen(w: World, conflict: Conflict, property: string, local: Cells, remote: Cells): unknown {
  const { pick } = w.random
  const { schema, isTwo } = w
  if (!(PROPERTIES as readonly string[]).includes(property) && schema.isWide) {
    const sides = [conflict.local, conflict.remote].map(row => (row as Record<string, unknown>)[property] ?? null)
    const [s, t] = sides.map(side => JSON.stringify(side)) as [string, string]
    return isTwo ? sides[s < t ? 1 : 0] : pick(sides)
  }
  const [ours, theirs] = [local[property as 'a'], remote[property as 'a']]
  // what a database has no column for says nothing
  if (schema.gained && !(ours && theirs)) return ours ?? theirs
  return isTwo ? [ours, theirs].sort()[1] : pick([ours, theirs, w.oracle.token('m', ours, theirs)])
}
