// How far other collections of the server were read: a removal speaks for what the remover saw (docs/how-it-works.md, law 9).

import type { Exchanges, Session } from '../session.js'
import type { PushedOf } from './batchBuilder.js'

/** A removal speaks for what the remover saw, in collections that are synced by themselves as well (law 9). */
export function seenBy({ members }: Session, exchanges: Exchanges, rows: readonly PushedOf[]): Map<string, number> {
  const seen = new Map<string, number>()
  for (const { collection, siblings, server: own } of exchanges) {
    if (!rows.some(({ collection: there, row }) => there === collection && row.value === null)) continue
    const visited = new Set([collection])
    for (const parent of visited) {
      for (const { child } of parent.children) {
        const server = child && siblings.get(child)
        // what was read of a history that was reset since says nothing of this one, nor what was read by other keys of what these show
        const isSame = server?.serverHistory === own.serverHistory && server?.scope === own.scope
        const date = isSame ? server.serverDate : 0
        if (child && server && !members.some(m => m.collection === child)) seen.set(new URL(server.url).pathname, date ?? 0)
        if (child) visited.add(child)
      }
    }
  }
  return seen
}
