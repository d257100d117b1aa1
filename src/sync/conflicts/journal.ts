// What the application can see and resolve itself: what is pending, in conflict, deferred or rejected, and what was resolved.

import type { ObjectLiteral } from 'typeorm'
import type { ChangeLog } from '../../changes/changeLog.js'
import type { Collection } from '../../changes/collections/collection.js'
import { holdOne } from '../../changes/rows/held.js'
import { readLastChange } from '../../changes/rows/lastChanges.js'
import { isInPush, lastHeardOf, localOf } from '../../changes/servers/agreement.js'
import { isConflictReason, type RowState, type UnappliedReason } from '../../changes/servers/rowStates.js'
import { forgetServer, serversOf } from '../../changes/servers/servers.js'
import { storeVersions } from '../../changes/store/store.js'
import { first, query, quote, type Transaction } from '../../databases/database.js'
import { ConstraintError, NotInJournalError } from '../../errors.js'
import { isSameRow } from '../apply/merge.js'
import { fromEntity } from '../entities.js'
import { type Exchange, isClean, openExchange, readRowStates, TransactionStamp } from '../exchange.js'
import { closesCircle } from '../push/moves.js'
import { pushRowsAgain } from '../push/rejections.js'
import { mergedSides } from './contested.js'
import {
  type DeferredRow,
  isConflict,
  isDeferred,
  listNoAccess,
  listRejected,
  listUnapplied,
  type PendingChange,
  parseRow,
  pendingChange,
  type RejectedRow,
  type ResolvedConflict,
  resolvedConflict,
  type UnappliedRow,
  type UnresolvedConflict,
} from './listed.js'
import { discardApart, isKeptApart } from './noAccess.js'
import { hasChanges, readPending } from './pending.js'
import { type JournalOptions, type ResolveOptions, removeFamily, storeDecision } from './resolve.js'
import { type SyncServer, serverOf } from './servers.js'

/** Which rows a call lists. */
export interface ListOptions {
  /** Those of this server alone. */
  readonly url?: string
  /** So many at most; all by default. */
  readonly limit?: number
}

/** The journal of an entity's sync. `url` narrows a call to one server, where the entity has several. */
export class SyncJournal<Entity extends ObjectLiteral> {
  constructor(
    private readonly log: ChangeLog,
    private readonly collection: Collection,
    /** Is there a server to push to, whether it was ever reached or not? A server of its own has none. */
    private readonly hasServer = true,
  ) {}

  /** What was changed here and not pushed yet, but for conflicts, deferred and rejected rows, which have lists of their own. */
  async pending(options?: ListOptions): Promise<PendingChange<Entity>[]> {
    return this.#read(options, function* (exchange, limit) {
      const states: RowState[] = []
      yield* readPending(exchange, state => states.push(state) < limit)
      return states.map(state => pendingChange<Entity>(exchange, state))
    })
  }

  /** How many rows are pending. */
  async pendingCount(options?: Pick<ListOptions, 'url'>): Promise<number> {
    const counts = await this.#read(options, function* (exchange) {
      let count = 0
      yield* readPending(exchange, () => ++count > 0)
      return [{ count }]
    })
    return counts.reduce((sum, { count }) => sum + count, 0)
  }

  /** Is anything pending or rejected, or a conflict or deferred with a change of ours? Reads the first of it alone. */
  async hasLocalChanges(): Promise<boolean> {
    const { log, collection, hasServer } = this
    return log.database.transaction(
      function* () {
        const servers = yield* serversOf(collection)
        for (const { id } of servers) {
          const exchange = yield* openExchange(log, collection, id)
          if (exchange && (yield* hasChanges(exchange))) return true
        }
        // what was never synced is on no server
        return hasServer && !servers.length && (yield* first(`SELECT 1 FROM ${quote(collection.table.name)} LIMIT 1`)) !== undefined
      },
      { mode: 'read' },
    )
  }

  /** Conflicts that are not resolved yet: `resolve` or `discard` ends them, and so does a handler of the next sync. */
  async conflicts(options?: ListOptions): Promise<UnresolvedConflict<Entity>[]> {
    return (await this.#unapplied(options, isConflictReason)).filter(isConflict)
  }

  /** Rows of the server that are applied here once what they need is there: a row that is missing, or a database that accepts them. */
  async deferred(options?: ListOptions): Promise<DeferredRow<Entity>[]> {
    return (await this.#unapplied(options, reason => !isConflictReason(reason))).filter(isDeferred)
  }

  async #unapplied(options: ListOptions | undefined, isMeant: (reason: UnappliedReason) => boolean): Promise<UnappliedRow<Entity>[]> {
    return this.#read(options, (exchange, limit) => listUnapplied<Entity>(exchange, isMeant, limit))
  }

  /** Rows that servers rejected, and why; and changes of rows that they do not show any more (`no-access`). */
  async rejected(options?: ListOptions): Promise<RejectedRow<Entity>[]> {
    return this.#read(options, function* (exchange, limit) {
      const rejected = yield* listRejected<Entity>(exchange, limit)
      return rejected.length < limit ? [...rejected, ...(yield* listNoAccess<Entity>(exchange, limit - rejected.length))] : rejected
    })
  }

  /** Decided conflicts, the newest first. */
  async resolved(limit = 100): Promise<ResolvedConflict<Entity>[]> {
    const rows = await this.log.database.transaction(
      () => query('SELECT * FROM sync_resolution WHERE collection = ? ORDER BY id DESC LIMIT ?', this.collection.name, limit),
      { mode: 'read' },
    )
    return rows.map(row => resolvedConflict<Entity>(this.collection, row))
  }

  /** Forgets decisions that are older than so many milliseconds. */
  async pruneResolved({ olderThan }: { olderThan: number }): Promise<void> {
    await this.log.database.transaction(() =>
      query('DELETE FROM sync_resolution WHERE collection = ? AND resolved_at < ?', this.collection.name, Date.now() - olderThan),
    )
  }

  /** Has a rejected row pushed again by the next sync. Throws NotInJournalError where it was not rejected. */
  async retry(id: string, options?: string | Pick<JournalOptions, 'url'>): Promise<void> {
    await this.#change(options, id, 'was rejected by no server', {
      isMeant: (_, { rejection, version }) => rejection?.stamp === version.stamp && rejection.heldBack === null,
      *apply(exchange) {
        yield* pushRowsAgain(exchange, [id])
      },
    })
  }

  /**
   * Resolves a conflict, or a deferred row: an entity, or null to remove it. Properties of a conflict that are absent stay as they are merged. The next
   * sync pushes it. Where another row has the unique value
   * (`not-unique`), other values keep both rows, and `{ replaces: holder }` makes one of two that mean the same.
   * Throws NotInJournalError where the row is neither, ValueError and ConstraintError where it cannot be stored, UnpushedChildrenError
   * where rows would go along that were not pushed.
   */
  async resolve(id: string, winner: Partial<Entity> | null, options?: string | ResolveOptions): Promise<void> {
    const { collection } = this
    await this.#change(options, id, 'is neither a conflict nor deferred', {
      isMeant: (_, { unapplied }) => unapplied !== undefined,
      *apply(exchange, state, chosen) {
        const remote = state.unapplied?.remote ?? null
        const value = winner && {
          ...((yield* mergedSides(exchange, state)) ?? localOf(state) ?? remote),
          ...(yield* holdOne(exchange.log.database, collection, fromEntity(collection, winner))),
        }
        yield* storeDecision(exchange, state, remote, value, chosen)
      },
    })
  }

  /**
   * Discards our change of a row that is pending, in conflict, deferred or rejected: it becomes what the server has; of a row that is not seen any more
   * nothing remains. What a push without an answer carries may have arrived: then the next sync pushes this, as an edit that reverts the change.
   * Throws NotInJournalError where there is none, or where it is not known what the server has; then sync first. Throws
   * UnpushedChildrenError where rows would go along that were not pushed.
   */
  async discard(id: string, options?: string | JournalOptions): Promise<void> {
    await this.#change(options, id, 'has no local change to discard', {
      isMeant(exchange, state) {
        if (isKeptApart(state)) return true
        const remote = lastHeardOf(exchange.server, state)
        if (remote === undefined || (isClean(exchange, state) && !state.unapplied)) return false
        return !isInPush(exchange.server, state) || !isSameRow(state.version.value, remote) // it was discarded already
      },
      *apply(exchange, state, chosen) {
        if (isKeptApart(state)) return yield* discardApart(exchange, state)
        const remote = lastHeardOf(exchange.server, state)
        if (remote !== undefined) yield* storeDecision(exchange, state, remote, remote, chosen)
      },
    })
  }

  /**
   * Brings back the side that a decision put aside, as a change of ours that the next sync pushes: the local one where the remote one was
   * chosen, else the remote one; or the side that is named. Throws NotInJournalError where there is no such decision, or the row moved on
   * since, ConstraintError where it needs a row that is not there, or would close a circle in a tree, UnpushedChildrenError as `decide` does.
   */
  async undo(resolutionId: number, side?: 'local' | 'server' | 'base', { children }: Pick<JournalOptions, 'children'> = {}): Promise<void> {
    const { log, collection } = this
    await log.database.transaction(function* () {
      const row = yield* first('SELECT * FROM sync_resolution WHERE id = ? AND collection = ?', resolutionId, collection.name)
      if (!row)
        throw new NotInJournalError(`There is no decision ${resolutionId} about ${collection.entity}.`, { entity: collection.entity })
      const [base, local, remote, decision] = [row.base, row.local, row.remote, row.decision].map(parseRow)
      const id = String(row.row_id)
      const chosen =
        side === 'base' ? base : side === 'local' || (side === undefined && isSameRow(decision ?? null, remote ?? null)) ? local : remote
      const exchange = yield* openExchange(log, collection, (yield* serversOf(collection))[0]?.id ?? -1)
      const state = exchange && (yield* readRowStates(exchange, [id])).get(id)
      if (!state || !isSameRow(state.version.value, decision ?? null)) {
        throw new NotInJournalError(`${collection.entity} ${id} has changed since; edit it instead of undoing decision ${resolutionId}.`, {
          entity: collection.entity,
        })
      }
      const value = chosen ?? null
      // what stands in its way may be the server's, which is not to be discarded for it
      if (yield* closesCircle(exchange, { id, local: state.version.value, value })) throw new ConstraintError('cycle', undefined)
      if (value === null) yield* removeFamily(exchange, state, { isOurs: true, children }, new TransactionStamp(exchange))
      yield* storeVersions(log, collection, [{ id, old: state.version, value }], yield* log.database.tick())
      yield* query('DELETE FROM sync_resolution WHERE id = ?', resolutionId)
    })
    await log.database.save()
  }

  /** The servers that are known, and how far the client has read each and pushed to it. */
  async servers(): Promise<SyncServer[]> {
    const { log, collection } = this
    return log.database.transaction(
      function* () {
        const changedUpTo = yield* readLastChange(collection)
        return (yield* serversOf(collection)).map(server => serverOf(collection, server, changedUpTo))
      },
      { mode: 'read' },
    )
  }

  /** Forgets a server that is no longer wanted: its state goes, the rows stay. */
  async forget(url: string): Promise<void> {
    const { log, collection } = this
    await log.database.transaction(function* () {
      for (const server of yield* serversOf(collection)) if (server.url === url) yield* forgetServer(log.database, collection, server)
    })
    await log.database.save()
  }

  async #read<T>(options: ListOptions | undefined, body: (exchange: Exchange, limit: number) => Transaction<T[]>): Promise<T[]> {
    const { log, collection } = this
    const { url, limit = Number.POSITIVE_INFINITY } = options ?? {}
    return log.database.transaction(
      function* () {
        const found: T[] = []
        for (const server of yield* serversOf(collection)) {
          if (url !== undefined && server.url !== url) continue
          if (found.length >= limit) break
          const exchange = yield* openExchange(log, collection, server.id)
          if (exchange) for (const item of yield* body(exchange, limit - found.length)) found.push(item)
        }
        return found
      },
      { mode: 'read' },
    )
  }

  /** Changes a row for each server that is meant; which that are is read first, for what the first one changes is a local change for the next. */
  async #change(options: string | ResolveOptions = {}, id: string, otherwise: string, { isMeant, apply }: JournalCall): Promise<void> {
    const { log, collection } = this
    const chosen = typeof options === 'string' ? { url: options } : options
    await log.database.transaction(function* () {
      const meant: number[] = []
      for (const server of yield* serversOf(collection)) {
        if (chosen.url !== undefined && server.url !== chosen.url) continue
        const exchange = yield* openExchange(log, collection, server.id)
        const state = exchange && (yield* readRowStates(exchange, [id])).get(id)
        if (exchange && state && isMeant(exchange, state)) meant.push(server.id)
      }
      if (!meant.length) throw new NotInJournalError(`${collection.entity} ${id} ${otherwise}.`, { entity: collection.entity })
      for (const serverId of meant) {
        const exchange = yield* openExchange(log, collection, serverId)
        const state = exchange && (yield* readRowStates(exchange, [id])).get(id)
        if (exchange && state) yield* apply(exchange, state, chosen)
      }
    })
    await log.database.save()
  }
}

interface JournalCall {
  isMeant(exchange: Exchange, state: RowState): boolean
  apply(exchange: Exchange, state: RowState, options: ResolveOptions): Transaction<void>
}
