// A conflict as its handler is shown it, and what the handler made of it.

import type { Collection } from '../../changes/collections/collection.js'
import type { WireRow } from '../../protocol/messages.js'
import { differences, fromEntity, isAbout, toEntity } from '../entities.js'
import { type Contested, mergeOf } from './contested.js'
import type { Decision } from './decisions.js'
import { type Conflict, type ConflictUpdate, UPDATE_DATE } from './handlers.js'

export function question(
  collection: Collection,
  contested: Contested,
): { conflict: Conflict; resolve(updates: ConflictUpdate[]): Decision[] } {
  const { id, reason, local, remote, base, children } = contested
  const merged = mergeOf(collection, contested)
  const entityOf = (row: WireRow | null) => row && toEntity(collection, id, row)
  const localEntity = entityOf(local)
  const shown = localEntity && fromEntity(collection, localEntity)
  let isRemote = false
  const conflict: Conflict & { [UPDATE_DATE]?: string } = {
    entity: collection.entity,
    id,
    local: localEntity,
    remote: entityOf(remote),
    base: base && toEntity(collection, id, base),
    properties: merged.properties,
    reason,
    children,
    takeRemote: () => {
      isRemote = true
    },
    [UPDATE_DATE]: collection.columns.find(c => c.automatic === 'updated')?.property,
  }
  return {
    conflict,
    resolve(updates) {
      const update = updates.findLast(u => isAbout(collection, u, id))
      if (isRemote) return [{ contested, value: remote }]
      if (update?._removed) return [{ contested, value: null }]
      const assigned = localEntity && shown ? differences(shown, fromEntity(collection, localEntity)) : {}
      const isResolved = merged.properties.length > 0 && merged.properties.every(p => Object.hasOwn(assigned, p))
      if (!update && !isResolved) return []
      const start = local === null ? remote : remote === null ? local : merged.value
      return [{ contested, value: { ...start, ...assigned, ...(update && fromEntity(collection, update)) } }]
    },
  }
}
