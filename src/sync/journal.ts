// What the application can see and settle itself: what is pending, waits, was refused, and what was decided.

import type { ObjectLiteral } from 'typeorm'
import type { ChangeLog } from '../changes/changeLog.js'
import type { Collection } from '../changes/collection.js'
import { first, query, type Row, type Step } from '../changes/database/database.js'
import { baseOf, forgetRemote, isAgreed, isHeld, type RowState, remotesOf, type WaitingReason } from '../changes/remotes.js'
import { readChanges } from '../changes/rows.js'
import { readDependents, storeVersions } from '../changes/store.js'
import { NotWaitingError } from '../errors.js'
import type { WireRow } from '../protocol/messages.js'
import { takeParents } from './conflicts.js'
import { writeDecision } from './decisions.js'
import { fromEntity, toEntity } from './entities.js'
import { type Exchange, openExchange, readRowStates, StepStamp } from './exchange.js'
import { isSameRow } from './merge.js'
import { tellRowsAgain } from './refusals.js'
import { removeDependents, settle } from './take.js'
import { readWaiting } from './waiting.js'

/** A change of ours that a server has not been told yet. */
export interface PendingChange<Entity> {
  readonly id: string
  readonly url: string
  /** null: removed. */
  readonly local: Entity | null
}

/** A row of a server's that is not stored here yet. */
export interface WaitingRow<Entity> {
  readonly id: string
  readonly url: string
  /** `contested` and `children-changed` wait for a conflict handler, the others for what the database needs first. */
  readonly reason: WaitingReason
  readonly local: Entity | null
  readonly remote: Entity | null
}

/** A row of ours that a server refused; it is told again when it was changed, or by `retry`. */
export interface RefusedRow<Entity> {
  readonly id: string
  readonly url: string
  readonly code: string
  readonly property: string | undefined
  readonly detail: string
  readonly local: Entity | null
}

/** A conflict that was decided, by a handler or in the journal. */
export interface DecidedConflict<Entity> {
  readonly decisionId: number
  readonly id: string
  readonly url: string
  readonly decidedAt: Date
  readonly base: Entity | null | undefined
  readonly local: Entity | null
  readonly remote: Entity | null
  readonly decision: Entity | null
}

/** The journal of an entity's sync. `url` narrows a call to one server, where the entity has several. */
export class SyncJournal<Entity extends ObjectLiteral> {
  constructor(
    private readonly log: ChangeLog,
    private readonly collection: Collection,
  ) {}

  /** What was changed here and not told yet; what waits or was refused is listed there. */
  async pending(url?: string): Promise<PendingChange<Entity>[]> {
    return this.#read(url, function* (exchange) {
      const { log, collection, remote } = exchange
      const pending: { id: string; row: WireRow | null }[] = []
      for (let above = remote.told; ; ) {
        const changes = yield* readChanges(log.database, collection, { above, limit: 1_000, removalsAbove: -1, newsFor: remote.id })
        const states = yield* readRowStates(
          exchange,
          changes.map(c => c.id),
        )
        for (const state of states.values()) {
          const { id, version } = state
          if (isHeld(state) || isAgreed(remote, state, version.stamp)) continue
          const base = baseOf(remote, state)
          if (base === undefined || !isSameRow(version.value, base)) pending.push({ id, row: version.value })
        }
        const last = changes.at(-1)
        if (!last || changes.length < 1_000) break
        above = { stamp: last.stamp, id: last.id }
      }
      return pending
    }).then(found => found.map(({ id, url: from, row }) => ({ id, url: from, local: this.#entity(id, row) })))
  }

  /** Is anything pending, refused, or waiting with a change of ours? */
  async hasLocalChanges(): Promise<boolean> {
    if ((await this.pending()).length || (await this.refused()).length) return true
    const rows = await this.log.database.step(
      () =>
        query(
          'SELECT 1 FROM sync_conflict c JOIN sync_remote r ON r.id = c.remote WHERE r.collection = ? AND c.untold IS NOT NULL LIMIT 1',
          this.collection.name,
        ),
      { readOnly: true },
    )
    return rows.length > 0
  }

  /** Rows of the servers' that could not be stored here yet, and why. */
  async waiting(url?: string): Promise<WaitingRow<Entity>[]> {
    const found = await this.#read(url, function* (exchange) {
      const waiting = yield* readWaiting(exchange)
      const states = yield* readRowStates(exchange, [...waiting.keys()])
      return [...waiting].map(([id, { theirs, reason }]) => ({ id, reason, theirs, mine: states.get(id)?.version.value ?? null }))
    })
    return found.map(({ id, url: from, reason, mine, theirs }) => ({
      id,
      url: from,
      reason,
      local: this.#entity(id, mine),
      remote: this.#entity(id, theirs),
    }))
  }

  /** Rows that servers refused, and why. */
  async refused(url?: string): Promise<RefusedRow<Entity>[]> {
    const found = await this.#read(url, function* (exchange) {
      const rows = yield* query('SELECT id, code, property, detail FROM sync_rejection WHERE remote = ? ORDER BY id', exchange.remote.id)
      const states = yield* readRowStates(
        exchange,
        rows.map(r => String(r.id)),
      )
      return rows.flatMap(row => {
        const { id, version, rejection } = states.get(String(row.id)) as RowState
        if (rejection?.stamp !== version.stamp) return [] // it has moved on, and is told again
        return [
          {
            id,
            code: String(row.code),
            property: row.property === null ? undefined : String(row.property),
            detail: String(row.detail ?? ''),
            mine: version.value,
          },
        ]
      })
    })
    return found.map(({ mine, ...refusal }) => ({ ...refusal, local: this.#entity(refusal.id, mine) }))
  }

  /** Decided conflicts, the newest first. */
  async decisions(limit = 100): Promise<DecidedConflict<Entity>[]> {
    const rows = await this.log.database.step(
      () => query('SELECT * FROM sync_decision WHERE collection = ? ORDER BY id DESC LIMIT ?', this.collection.name, limit),
      { readOnly: true },
    )
    return rows.map(row => this.#decision(row))
  }

  /** Forgets decisions that are older than so many milliseconds. */
  async pruneDecisions({ olderThan }: { olderThan: number }): Promise<void> {
    await this.log.database.step(() =>
      query('DELETE FROM sync_decision WHERE collection = ? AND decided_at < ?', this.collection.name, Date.now() - olderThan),
    )
  }

  /** Has a refused row told again by the next sync. Throws NotWaitingError where it was not refused. */
  async retry(id: string, url?: string): Promise<void> {
    await this.#settle(url, id, 'was refused by no server', function* (exchange, { rejection, version }) {
      if (rejection?.stamp !== version.stamp) return false
      yield* tellRowsAgain(exchange, [id])
      return true
    })
  }

  /**
   * Decides what a waiting row is to be: an entity, or null to remove it. It is told by the next sync.
   * Throws NotWaitingError where the row does not wait, ValueError and ConstraintError where it cannot be stored.
   */
  async decide(id: string, winner: Partial<Entity> | null, url?: string): Promise<void> {
    const { collection } = this
    await this.#settle(url, id, 'waits for no decision', function* (exchange, state) {
      if (!state.waiting) return false
      const { theirs } = state.waiting
      const value = winner && { ...(state.version.value ?? theirs), ...fromEntity(collection, winner) }
      yield* exchange.log.database.deferConstraints()
      const stamp = new StepStamp(exchange)
      yield* makeRoom(exchange, state, value, stamp)
      yield* settle(exchange, [{ state, theirs, value }], stamp)
      yield* noteDecision(exchange, state, theirs, value)
      return true
    })
  }

  /**
   * Gives up our change of a row that is pending, waits or was refused: it becomes what the server has.
   * Throws NotWaitingError where there is none, or where it is not known what the server has; then sync first.
   */
  async giveUp(id: string, url?: string): Promise<void> {
    await this.#settle(url, id, 'has no change of ours to give up', function* (exchange, state) {
      if (isAgreed(exchange.remote, state, state.version.stamp) && !state.waiting) return false
      const theirs = state.waiting ? state.waiting.theirs : baseOf(exchange.remote, state)
      if (theirs === undefined) return false
      yield* exchange.log.database.deferConstraints()
      const stamp = new StepStamp(exchange)
      yield* makeRoom(exchange, state, theirs, stamp)
      yield* settle(exchange, [{ state, theirs, value: theirs }], stamp)
      yield* noteDecision(exchange, state, theirs, theirs)
      return true
    })
  }

  /**
   * Brings back the side that a decision put aside, as a change of ours that the next sync tells: the local one where the remote one was
   * taken, else the remote one; or the side that is named. Throws NotWaitingError where there is no such decision, or the row moved on since.
   */
  async undo(decisionId: number, side?: 'local' | 'remote' | 'base'): Promise<void> {
    const { log, collection } = this
    await log.database.step(function* () {
      const row = yield* first('SELECT * FROM sync_decision WHERE id = ? AND collection = ?', decisionId, collection.name)
      if (!row) throw new NotWaitingError(`There is no decision ${decisionId} about ${collection.entity}.`, { entity: collection.entity })
      const [base, local, remote, decision] = [row.base, row.local, row.remote, row.decision].map(parse)
      const id = String(row.row_id)
      const chosen =
        side === 'base' ? base : side === 'local' || (side === undefined && isSameRow(decision ?? null, remote ?? null)) ? local : remote
      yield* log.database.deferConstraints()
      const exchange = yield* openExchange(log, collection, (yield* remotesOf(collection))[0]?.id ?? -1)
      const version = exchange && (yield* readRowStates(exchange, [id])).get(id)?.version
      if (!version || !isSameRow(version.value, decision ?? null)) {
        throw new NotWaitingError(`${collection.entity} ${id} has changed since; edit it instead of undoing decision ${decisionId}.`, {
          entity: collection.entity,
        })
      }
      const value = chosen ?? null
      const alone = { ...exchange, siblings: new Map() } // what an undo takes along is news for everybody
      if (value === null && version.value !== null)
        yield* removeDependents(alone, yield* readDependents(log.database, collection, id), new StepStamp(alone))
      yield* storeVersions(log, collection, [{ id, old: version, value }], yield* log.database.tick())
      yield* query('DELETE FROM sync_decision WHERE id = ?', decisionId)
    })
    await log.database.save()
  }

  /** The servers that are known, and how far they were read: the server's stamp, in milliseconds since 1/1/1970. */
  async servers(): Promise<{ url: string; readUpTo: number }[]> {
    const remotes = await this.log.database.step(() => remotesOf(this.collection), { readOnly: true })
    return remotes.map(({ url, serverDate }) => ({ url, readUpTo: serverDate }))
  }

  /** Forgets a server that is no longer wanted: its state goes, the rows stay. */
  async forget(url: string): Promise<void> {
    const { log, collection } = this
    await log.database.step(function* () {
      for (const remote of yield* remotesOf(collection)) if (remote.url === url) yield* forgetRemote(collection, remote)
    })
    await log.database.save()
  }

  #entity(id: string, row: WireRow | null): Entity | null {
    return row && (toEntity(this.collection, id, row) as Entity)
  }

  #decision(row: Row): DecidedConflict<Entity> {
    const id = String(row.row_id)
    const entity = (cell: unknown) => {
      const value = parse(cell)
      return value ? this.#entity(id, value) : null
    }
    return {
      decisionId: Number(row.id),
      id,
      url: String(row.url),
      decidedAt: new Date(Number(row.decided_at)),
      base: row.base === null ? undefined : entity(row.base),
      local: entity(row.local),
      remote: entity(row.remote),
      decision: entity(row.decision),
    }
  }

  async #read<T extends object>(url: string | undefined, body: (exchange: Exchange) => Step<T[]>): Promise<(T & { url: string })[]> {
    const { log, collection } = this
    return log.database.step(
      function* () {
        const found: (T & { url: string })[] = []
        for (const remote of yield* remotesOf(collection)) {
          if (url !== undefined && remote.url !== url) continue
          const exchange = yield* openExchange(log, collection, remote.id)
          if (exchange) for (const item of yield* body(exchange)) found.push({ ...item, url: remote.url })
        }
        return found
      },
      { readOnly: true },
    )
  }

  async #settle(
    url: string | undefined,
    id: string,
    otherwise: string,
    body: (exchange: Exchange, state: RowState) => Step<boolean>,
  ): Promise<void> {
    const { log, collection } = this
    await log.database.step(function* () {
      let settled = false
      for (const remote of yield* remotesOf(collection)) {
        if (url !== undefined && remote.url !== url) continue
        const exchange = yield* openExchange(log, collection, remote.id)
        const state = exchange && (yield* readRowStates(exchange, [id])).get(id)
        if (exchange && state && (yield* body(exchange, state))) settled = true
      }
      if (!settled) throw new NotWaitingError(`${collection.entity} ${id} ${otherwise}.`, { entity: collection.entity })
    })
    await log.database.save()
  }
}

function noteDecision(exchange: Exchange, state: RowState, remote: WireRow | null, decision: WireRow | null): Step<void> {
  const { id, version } = state
  return writeDecision(exchange, exchange.remote.url, { id, base: baseOf(exchange.remote, state), local: version.value, remote, decision })
}

/** A row takes along the parent that was removed here; a removal its children, those too that forbid one which waits for this word. */
function* makeRoom(exchange: Exchange, { id, version, waiting }: RowState, value: WireRow | null, stamp: StepStamp): Step<void> {
  if (value !== null) yield* takeParents(exchange, value, stamp)
  else if (version.value !== null)
    yield* removeDependents(
      exchange,
      yield* readDependents(exchange.log.database, exchange.collection, id, undefined, waiting !== undefined),
      stamp,
    )
}

const parse = (cell: unknown): WireRow | null | undefined => (cell === null || cell === undefined ? undefined : JSON.parse(String(cell)))
