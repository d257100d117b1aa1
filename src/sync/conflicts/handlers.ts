// Conflict handlers: what an application is asked with, and the usual answers.

import type { ObjectLiteral } from 'typeorm'
import type { UnappliedReason } from '../../changes/servers/rowStates.js'

/** A row with both its sides, as a handler is asked about it and as the journal lists it. */
export interface RowSides<Entity extends ObjectLiteral = ObjectLiteral> {
  /** Name of the entity. */
  readonly entity: string
  readonly id: string
  /** Our side; null: removed here, or never there. */
  readonly local: Entity | null
  /** The server's side; null: removed there. */
  readonly remote: Entity | null
  /** The last version that both sides knew; null: there was none; undefined: it is not known. */
  readonly base: Entity | null | undefined
  /** The properties that both sides changed, each in its own way; none where one side is null. Of an embedded entity the path (`address.city`). */
  readonly properties: readonly string[]
}

/** A row that both sides changed, so that only the application can say what it should be. What is assigned to `local` counts as decided. */
export interface Conflict<Entity extends ObjectLiteral = ObjectLiteral> extends RowSides<Entity> {
  /** `contested`, or `children-changed`, `parent-removed`, `cycle`: a matter of other rows. */
  readonly reason: UnappliedReason
  /** Rows that were changed here and that the server's removal of this one removes with it. */
  readonly children: readonly { readonly entity: string; readonly id: string }[]
  /** Takes the server's side, whole; also where a side is null. */
  takeRemote(): void
}

/** What a handler pushes to decide a conflict: the key, and values; those that are absent stay as they are merged. */
export type ConflictUpdate = { id: string; _removed?: boolean } & ObjectLiteral

/**
 * Decides conflicts, as in persistence.sync.js. To keep the local side push `{ id, ...values }` (or `{ id, _removed: true }`) onto
 * `updatesToPush`; to take the remote side assign `conflict.local[p] = conflict.remote[p]`, or call `conflict.takeRemote()`. Then call
 * `callback`, or return a promise, or just return where the function has no callback. A conflict that is left alone stays in the journal, and the next sync brings it again.
 */
export type ConflictHandler<Entity extends ObjectLiteral = ObjectLiteral> = (
  conflicts: Conflict<Entity>[],
  updatesToPush: ConflictUpdate[],
  callback: () => void,
) => unknown

/** Our side of what is contested counts. */
export const preferLocalConflictHandler: ConflictHandler = (conflicts, updatesToPush, callback) => {
  for (const conflict of conflicts) updatesToPush.push(localUpdate(conflict))
  callback()
}

/** The server's side counts. */
export const preferRemoteConflictHandler: ConflictHandler = (conflicts, _updatesToPush, callback) => {
  for (const conflict of conflicts) {
    const { local, remote, properties } = conflict
    if (local && remote) for (const p of properties) (local as ObjectLiteral)[p] = remote[p]
    else conflict.takeRemote()
  }
  callback()
}

/**
 * The side that was written last counts, by a property that the application writes, for the server's stamps are times of arrival: the
 * one named, or the `@UpdateDateColumn`. A removal has no date: the row that was changed stays. Without such a date conflicts stay in the journal.
 */
export function preferNewest(property?: string): ConflictHandler {
  return (conflicts, updatesToPush, callback) => {
    for (const conflict of conflicts) {
      const { local, remote } = conflict
      if (!local) conflict.takeRemote()
      else if (!remote) updatesToPush.push(localUpdate(conflict))
      else {
        const [ours, theirs] = [local, remote].map(row => row[property ?? updateDateOf(conflict) ?? ''])
        if (ours === undefined || theirs === undefined) continue
        if (theirs > ours) preferRemoteConflictHandler([conflict], updatesToPush, () => {})
        else updatesToPush.push(localUpdate(conflict))
      }
    }
    callback()
  }
}

/** `preferNewest()` by the `@UpdateDateColumn`. */
export const preferNewestConflictHandler: ConflictHandler = preferNewest()

/**
 * A handler that returns what the row is to be: `conflict.local`, `conflict.remote`, a new object, null to remove
 * it, undefined to leave it in the journal.
 */
export function resolveEach<Entity extends ObjectLiteral>(
  resolve: (conflict: Conflict<Entity>) => Partial<Entity> | null | undefined | Promise<Partial<Entity> | null | undefined>,
): ConflictHandler<Entity> {
  return async (conflicts, updatesToPush) => {
    for (const conflict of conflicts) {
      const winner = await resolve(conflict)
      if (winner === undefined) continue
      if (winner === conflict.remote) conflict.takeRemote()
      else if (winner === null) updatesToPush.push({ id: conflict.id, _removed: true })
      else if (winner === conflict.local) updatesToPush.push(localUpdate(conflict))
      else updatesToPush.push({ ...winner, id: conflict.id })
    }
  }
}

function localUpdate({ id, local, properties }: Conflict): ConflictUpdate {
  if (local === null) return { id, _removed: true }
  return { ...Object.fromEntries(properties.map(p => [p, (local as ObjectLiteral)[p]])), id }
}

/** Where the engine notes the name of an entity's `@UpdateDateColumn`. */
export const UPDATE_DATE = Symbol('update date')

function updateDateOf(conflict: Conflict): string | undefined {
  return (conflict as { [UPDATE_DATE]?: string })[UPDATE_DATE]
}
