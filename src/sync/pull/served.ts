// What a server has, and lacks, of the collections and properties of this database.

import type { Collection } from '../../changes/collections/collection.js'
import type { FeedQuery, Update } from '../../protocol/messages.js'
import type { Answer } from '../http/wire.js'
import type { Member, Session } from '../session.js'
import type { ByCollection } from './question.js'

/** Notes which collections the server lacks. True where those were others before: what was asked is worth nothing then. */
export function isServedOtherwise(session: Session, { collections }: FeedQuery, { unknown = [] }: Answer): boolean {
  const { members, lacking } = session
  const isUnknown = ({ path }: Member) => unknown.includes(path)
  if (!members.some(isUnknown) && !lacking.some(m => collections.includes(m.path) && !isUnknown(m))) return false
  const all = [...members, ...lacking]
  const isLacking = (m: Member) => isUnknown(m) || (lacking.includes(m) && !collections.includes(m.path))
  const inOrder = session.log.collections.flatMap(collection => all.filter(m => m.collection === collection))
  session.members = inOrder.filter(m => !isLacking(m))
  session.lacking = inOrder.filter(isLacking)
  return true
}

/** Notes which properties the server has gained, of those that it has ignored, and which it sends without a column for them here. */
export function noteProperties(
  session: Session,
  answer: Answer,
  ignored: ByCollection<readonly string[]>,
  gained: Map<Collection, readonly string[]>,
): void {
  for (const { collection, path } of session.members) {
    const properties = answer.properties?.get(path)?.filter(p => ignored.get(collection)?.includes(p))
    if (properties?.length) gained.set(collection, properties)
    noteUnknownProperties(session, collection, answer.changes.get(path) ?? [])
  }
}

const ENVELOPE = new Set(['id', '_lastChange', '_removed', '_partial'])

// Rows of a collection have the same properties: one at each end of a page says which.
function noteUnknownProperties({ report }: Session, { column }: Collection, updates: readonly Update[]): void {
  const names = [updates[0], updates.at(-1)].flatMap(update => Object.keys(update?.value ?? {}))
  const unknown = names.filter(p => !column.has(p) && !ENVELOPE.has(p))
  if (unknown.length) report.unknownHere = [...new Set([...report.unknownHere, ...unknown])].sort()
}
