// What the application can see and settle itself: what is pending, waits, was refused, and what was decided.

import type { ObjectLiteral } from 'typeorm'
import type { ChangeLog } from '../changes/changeLog.js'
import type { Collection } from '../changes/collection.js'
import { first, query, quote, type Row, type Step } from '../changes/database/database.js'
import { readDependents } from '../changes/dependents.js'
import { baseOf, forgetRemote, isInPush, type RowState, remotesOf, type WaitingReason } from '../changes/remotes.js'
import { storeVersions } from '../changes/store.js'
import { ConstraintError, NotWaitingError, UnpushedChildrenError } from '../errors.js'
import type { WireRow } from '../protocol/messages.js'
import { takeParents } from './conflicts.js'
import { writeDecision } from './decisions.js'
import { fromEntity, toEntity } from './entities.js'
import { type Exchange, isClean, openExchange, readRowStates, StepStamp } from './exchange.js'
import { isSameRow } from './merge.js'
import { giveUpMoves } from './moves.js'
import { hasChanges, readPending } from './pending.js'
import { tellRowsAgain } from './refusals.js'
import { removeDependents } from './removals.js'
import { restore, settle } from './take.js'
import { readUnpushed, writeUnpushed } from './unpushed.js'
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

export interface JournalOptions {
  /** Settles it with this server alone, where the entity has several. */
  readonly url?: string
  /**
   * Rows that were not pushed and that would be removed along, because they need the row that goes: UnpushedChildrenError unless this says
   * `journal`. Then they go, each as a decision in the journal of its entity, which `undo` takes back.
   */
  readonly children?: 'journal'
}

/** The journal of an entity's sync. `url` narrows a call to one server, where the entity has several. */
export class SyncJournal<Entity extends ObjectLiteral> {
  constructor(
    private readonly log: ChangeLog,
    private readonly collection: Collection,
  ) {}

  /** What was changed here and not told yet; what waits or was refused is listed there. */
  async pending(url?: string): Promise<PendingChange<Entity>[]> {
    const found = await this.#read(url, function* (exchange) {
      const states: RowState[] = []
      yield* readPending(exchange, state => states.push(state) > 0)
      return states.map(({ id, version }) => ({ id, row: version.value }))
    })
    return found.map(({ id, url: from, row }) => ({ id, url: from, local: this.#entity(id, row) }))
  }

  /** How many rows are pending. */
  async pendingCount(url?: string): Promise<number> {
    const counts = await this.#read(url, function* (exchange) {
      let count = 0
      yield* readPending(exchange, () => ++count > 0)
      return [{ count }]
    })
    return counts.reduce((sum, { count }) => sum + count, 0)
  }

  /** Is anything pending, refused, or waiting with a change of ours? Costs as much as a look at the first of it. */
  async hasLocalChanges(): Promise<boolean> {
    const { log, collection } = this
    return log.database.step(
      function* () {
        const remotes = yield* remotesOf(collection)
        for (const { id } of remotes) {
          const exchange = yield* openExchange(log, collection, id)
          if (exchange && (yield* hasChanges(exchange))) return true
        }
        // what was never synced is on no server
        return !remotes.length && (yield* first(`SELECT 1 FROM ${quote(collection.table.name)} LIMIT 1`)) !== undefined
      },
      { readOnly: true },
    )
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
  async retry(id: string, options?: string | Pick<JournalOptions, 'url'>): Promise<void> {
    await this.#settle(options, id, 'was refused by no server', {
      isMeant: (_, { rejection, version }) => rejection?.stamp === version.stamp,
      *settle(exchange) {
        yield* tellRowsAgain(exchange, [id])
      },
    })
  }

  /**
   * Decides what a waiting row is to be: an entity, or null to remove it. It is told by the next sync.
   * Throws NotWaitingError where the row does not wait, ValueError and ConstraintError where it cannot be stored, UnpushedChildrenError
   * where rows would go along that were not pushed.
   */
  async decide(id: string, winner: Partial<Entity> | null, options?: string | JournalOptions): Promise<void> {
    const { collection } = this
    await this.#settle(options, id, 'waits for no decision', {
      isMeant: (_, { waiting }) => waiting !== undefined,
      *settle(exchange, state, { children }) {
        const theirs = state.waiting?.theirs ?? null
        const value = winner && { ...(state.version.value ?? theirs), ...fromEntity(collection, winner) }
        yield* storeDecision(exchange, state, theirs, value, children)
      },
    })
  }

  /**
   * Gives up our change of a row that is pending, waits or was refused: it becomes what the server has. What a push without an answer
   * carries may have arrived: then this is told by the next sync, as an edit that takes the change back.
   * Throws NotWaitingError where there is none, or where it is not known what the server has; then sync first. Throws
   * UnpushedChildrenError where rows would go along that were not pushed.
   */
  async giveUp(id: string, options?: string | JournalOptions): Promise<void> {
    const before = ({ remote }: Exchange, state: RowState) => (state.waiting ? state.waiting.theirs : baseOf(remote, state))
    await this.#settle(options, id, 'has no change of ours to give up', {
      isMeant(exchange, state) {
        const theirs = before(exchange, state)
        if (theirs === undefined || (isClean(exchange, state) && !state.waiting)) return false
        return !isInPush(exchange.remote, state) || !isSameRow(state.version.value, theirs) // it was given up already
      },
      *settle(exchange, state, { children }) {
        const theirs = before(exchange, state)
        if (theirs !== undefined) yield* storeDecision(exchange, state, theirs, theirs, children)
      },
    })
  }

  /**
   * Brings back the side that a decision put aside, as a change of ours that the next sync tells: the local one where the remote one was
   * taken, else the remote one; or the side that is named. Throws NotWaitingError where there is no such decision, or the row moved on
   * since, ConstraintError where it needs a row that is not there, UnpushedChildrenError as `decide` does.
   */
  async undo(decisionId: number, side?: 'local' | 'remote' | 'base', { children }: Pick<JournalOptions, 'children'> = {}): Promise<void> {
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
      const state = exchange && (yield* readRowStates(exchange, [id])).get(id)
      if (!state || !isSameRow(state.version.value, decision ?? null)) {
        throw new NotWaitingError(`${collection.entity} ${id} has changed since; edit it instead of undoing decision ${decisionId}.`, {
          entity: collection.entity,
        })
      }
      const value = chosen ?? null
      if (value === null) yield* removeFamily(exchange, state, { isOurs: true, children }, new StepStamp(exchange))
      yield* storeVersions(log, collection, [{ id, old: state.version, value }], yield* log.database.tick())
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

  /** Settles a row with each server that is meant; which that are is looked at first, for what the first one changes is news for the next. */
  async #settle(options: string | JournalOptions = {}, id: string, otherwise: string, { isMeant, settle }: Settling): Promise<void> {
    const { log, collection } = this
    const chosen = typeof options === 'string' ? { url: options } : options
    await log.database.step(function* () {
      const meant: number[] = []
      for (const remote of yield* remotesOf(collection)) {
        if (chosen.url !== undefined && remote.url !== chosen.url) continue
        const exchange = yield* openExchange(log, collection, remote.id)
        const state = exchange && (yield* readRowStates(exchange, [id])).get(id)
        if (exchange && state && isMeant(exchange, state)) meant.push(remote.id)
      }
      if (!meant.length) throw new NotWaitingError(`${collection.entity} ${id} ${otherwise}.`, { entity: collection.entity })
      for (const remoteId of meant) {
        const exchange = yield* openExchange(log, collection, remoteId)
        const state = exchange && (yield* readRowStates(exchange, [id])).get(id)
        if (exchange && state) yield* settle(exchange, state, chosen)
      }
    })
    await log.database.save()
  }
}

interface Settling {
  isMeant(exchange: Exchange, state: RowState): boolean
  settle(exchange: Exchange, state: RowState, options: JournalOptions): Step<void>
}

/** Stores what was decided about a row; what it needs comes along, and what needs it goes. */
function* storeDecision(
  exchange: Exchange,
  state: RowState,
  theirs: WireRow | null,
  value: WireRow | null,
  children: JournalOptions['children'],
): Step<void> {
  const { log, remote } = exchange
  const { id, version } = state
  yield* log.database.deferConstraints()
  const stamp = new StepStamp(exchange)
  const base = baseOf(remote, state)
  if (value !== null) {
    yield* takeParents(exchange, id, value, stamp)
    yield* giveUpMoves(exchange, id, value)
  } else yield* removeFamily(exchange, state, { isOurs: theirs !== null || isInPush(remote, state), children }, stamp)
  if (value === theirs) yield* restore(exchange, state, theirs, stamp)
  else yield* settle(exchange, [{ state, theirs, value }], stamp)
  yield* writeDecision(exchange, remote.url, { id, base, local: version.value, remote: theirs, decision: value })
}

/**
 * Removes what the removal of a row takes along, those too that forbid one which waits for this word. `isOurs`: the server has not removed
 * it, so that what goes along is news as well. What was not pushed goes where the caller says so, and is kept in the journal.
 */
function* removeFamily(
  exchange: Exchange,
  { id, version, waiting }: RowState,
  { isOurs, children }: { isOurs: boolean; children: JournalOptions['children'] },
  stamp: StepStamp,
): Step<void> {
  const { log, collection, remote } = exchange
  if (version.value === null) return
  const takesAll = waiting !== undefined || children === 'journal'
  const dependents = yield* readDependents(log.database, collection, [id], { takesAll })
  if (dependents.blocked.length) throw new ConstraintError('foreign-key', undefined)
  const unpushed = yield* readUnpushed(exchange, [...dependents.removed, ...dependents.forbidding])
  if (children !== 'journal') {
    const lost = new Map(
      unpushed.map(({ collection: there, state }) => [`${there.name} ${state.id}`, { entity: there.entity, id: state.id }]),
    )
    for (const row of dependents.forbidding) lost.set(`${row.collection.name} ${row.id}`, { entity: row.collection.entity, id: row.id })
    if (lost.size) refuseChildren(collection, id, [...lost.values()])
  }
  yield* writeUnpushed(unpushed, remote.url)
  yield* removeDependents(isOurs ? { ...exchange, siblings: new Map() } : exchange, dependents, stamp)
}

function refuseChildren({ entity }: Collection, id: string, children: readonly { entity: string; id: string }[]): never {
  const some = children.slice(0, 3).map(c => `${c.entity} ${c.id}`)
  if (children.length > some.length) some.push('…')
  throw new UnpushedChildrenError(
    `${entity} ${id} cannot be removed here: ${children.length} ${children.length === 1 ? 'row needs' : 'rows need'} it and would go too ` +
      `(${some.join(', ')}). Sync or move them first, or say { children: 'journal' }: then the journals of their entities bring them back.`,
    children,
    { entity },
  )
}

const parse = (cell: unknown): WireRow | null | undefined => (cell === null || cell === undefined ? undefined : JSON.parse(String(cell)))
