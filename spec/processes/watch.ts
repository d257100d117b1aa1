// A conflict handler that says what it was shown, and decides at random.

import type { DataSource } from 'typeorm'
import type { Conflict, ConflictHandler } from '../../src/sync/conflicts/handlers.js'
import { preferLocalConflictHandler, preferRemoteConflictHandler } from '../../src/sync/conflicts/handlers.js'
import { PROPERTIES, type Said } from './open.js'

type Row = Record<string, unknown> & { item?: { id?: string } | null }

export function watchingHandler(dataSource: DataSource, say: (said: Said) => void, chance: (p: number) => boolean): ConflictHandler {
  return async (conflicts: Conflict[], updates) => {
    const tokens: string[] = []
    const removals: string[] = []
    for (const { entity, id, local, remote, children } of conflicts) {
      // the rows to which a removal would cascade come by name
      for (const child of children) {
        const [row] = await dataSource.query(`SELECT a, b, c FROM "${child.entity.toLowerCase()}" WHERE id = ?`, [child.id])
        tokens.push(...Object.values(row ?? {}).filter((v): v is string => typeof v === 'string'))
      }
      for (const side of [local, remote] as (Row | null)[]) {
        if (!side) removals.push(`${entity.toLowerCase()} ${id}`)
        // a row that needs one which was removed: a handler that sees it knows of that removal
        if (side?.item?.id) removals.push(`item ${side.item.id}`)
        if (side) for (const p of PROPERTIES) if (typeof side[p] === 'string') tokens.push(side[p] as string)
      }
    }
    say({ said: 'seen', tokens, removals })
    ;(chance(0.5) ? preferLocalConflictHandler : preferRemoteConflictHandler)(conflicts, updates, () => {})
  }
}
