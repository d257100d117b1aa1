// What a client of an earlier version of the schema pushes becomes rows of the present one, before anything looks at them.

import type { ChangeLog } from '../src/changes/changeLog.js'
import { nameOf } from '../src/changes/rows/dependents.js'
import { equalValues } from '../src/databases/columns.js'
import type { Transaction } from '../src/databases/database.js'
import type { Json, WireRow } from '../src/protocol/messages.js'
import { broughtDown, type ClientVersion } from './clientVersion.js'
import { ENVELOPE } from './ignored.js'
import { type PostedRow, type Rejected, readVersionsOf } from './posted.js'
import type { Push, PushOutcome } from './push.js'

interface Lifted {
  readonly push: Push
  /** What becomes of the rows, as the client has them. */
  bringDown(outcome: PushOutcome): PushOutcome
}

/** Lifts the rows of a push. To be run in the transaction that stores them, for it reads what they change. */
export function* liftPush(log: ChangeLog, push: Push): Transaction<Lifted> {
  const { client } = push.caller
  const rows = client ? push.rows.filter(row => row.value !== null && client.changes(row.collection)) : []
  if (!client || !rows.length) return { push, bringDown: outcome => outcome }
  const storedOf = yield* readVersionsOf(log, rows)
  const failed: Rejected[] = []
  const lifted = new Map<PostedRow, WireRow>()
  for (const row of rows) {
    const stored = storedOf(row).value
    // a part of a row that is not there is answered as that
    if (row.partial && !stored) continue
    try {
      lifted.set(row, lift(client, row, stored))
    } catch {
      // one that its sender does not see is still to be answered as an unknown id
      lifted.set(row, {})
      const { collection, id } = row
      failed.push({ collection, id, code: 'not-valid', detail: 'It cannot be brought to the present version of the schema.' })
    }
  }
  const all = push.rows.map(row => ({ ...row, value: lifted.get(row) ?? row.value }))
  return { push: { ...push, rows: all }, bringDown: outcome => bringDown(client, rows, failed, outcome) }
}

/**
 * Only what the client has changed is lifted: its view of the stored row, with and without the change, and what differs. Else what a version does not tell
 * apart would be overwritten with each edit, and a part would have to be understood by the steps.
 */
function lift(client: ClientVersion, { collection, id, value }: PostedRow, stored: WireRow | null): WireRow {
  const posted = Object.fromEntries(Object.entries(value ?? {}).filter(([name]) => !ENVELOPE.has(name)))
  if (!stored) return client.up(collection, id, posted)
  const before = client.down(collection, id, stored)
  const [from, to] = [before, { ...before, ...posted }].map(row => client.up(collection, id, row)) as [WireRow, WireRow]
  return Object.fromEntries(Object.entries(to).filter(([name, now]) => !equalValues(from[name], now)))
}

function bringDown(client: ClientVersion, rows: readonly PostedRow[], failed: readonly Rejected[], outcome: PushOutcome): PushOutcome {
  if (outcome.kind === 'stale')
    return { ...outcome, contested: outcome.contested.flatMap(row => broughtDown(client, row.collection, [row])) }
  if (outcome.kind === 'rejected') {
    const posted = new Map(rows.map(row => [nameOf(row), row]))
    const others = outcome.rejections.map(rejection => inTheirWords(client, posted.get(nameOf(rejection)), rejection))
    const known = new Set(others.map(nameOf))
    return { kind: 'rejected', rejections: [...others, ...failed.filter(row => !known.has(nameOf(row)))] }
  }
  if (outcome.kind !== 'stored') return outcome
  if (failed.length) return { kind: 'rejected', rejections: failed }
  // what the client reads back may not be what it has pushed
  const { since: _, ...answer } = outcome.answer
  return { ...outcome, answer }
}

/** Properties of a row that are tried. */
const MOST = 200

/** Names the property of the client's of which the rejected one was made: without it that is another, or cannot be made. None where it was made of several. */
function inTheirWords(client: ClientVersion, row: PostedRow | undefined, rejection: Rejected): Rejected {
  const { property, ...rest } = rejection
  if (!row?.value || property === undefined || property === 'id') return rejection
  const posted = Object.entries(row.value).filter(([name]) => !ENVELOPE.has(name))
  if (posted.length > MOST) return rest
  const madeOf = (some: [string, Json][]) => client.up(row.collection, row.id, Object.fromEntries(some))[property]
  const [sure, likely]: [string[], string[]] = [[], []]
  for (const [name] of posted) {
    try {
      if (!equalValues(madeOf(posted.filter(([other]) => other !== name)), madeOf(posted))) sure.push(name)
    } catch {
      likely.push(name)
    }
  }
  const sources = sure.length ? sure : likely
  return sources.length === 1 ? { ...rest, property: sources[0] as string } : rest
}
