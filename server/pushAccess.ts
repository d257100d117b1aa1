// What of a push its sender may do (docs/users.md). What they do not see is not there for them.

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import { byCollection, groupBy } from '../src/changes/collections/groupBy.js'
import { type Dependent, nameOf } from '../src/changes/rows/dependents.js'
import { any, columnsOfKey, readExits, readFitting } from '../src/changes/scopes/conditions.js'
import { noteUnseenByMaker } from '../src/changes/store/exits.js'
import { equalValues } from '../src/databases/columns.js'
import { query, quote, type Transaction } from '../src/databases/database.js'
import type { Access } from './access.js'
import { KeyReader } from './keyReader.js'
import type { PostedRow, PostedWrite, Rejected, VersionOf } from './posted.js'
import { rejectUnseenParents } from './unseenParents.js'
import { type Deed, readWriteFilters, type WriteFilter } from './writeFilters.js'

/** What a push does to a row: a posted one, or one that a posted removal reaches. */
type Done = Pick<PostedWrite, 'collection' | 'id' | 'old' | 'value'>

const deedOf = ({ old, value }: Done): Deed => (value === null ? 'remove' : old.value === null ? 'create' : 'update')

export const notAllowed = ({ collection, id }: Dependent): Rejected => ({
  ...{ collection, id, code: 'not-allowed' },
  detail: 'You may not make, change or remove this row as it was, or as it would be.',
})

export interface Seen {
  /** What the sender sees at an id: of a row that they do not see, when it left them, if it did. */
  readonly versionOf: VersionOf
  /** Those of the posted rows at whose ids are rows that the sender does not see. */
  readonly hidden: ReadonlySet<PostedRow>
}

/** Judges a push by the rules of its sender, who is somebody that does not see everything. */
export class PushAccess {
  readonly #reader: KeyReader
  readonly #filters = new Map<string, readonly WriteFilter[]>()

  constructor(
    private readonly log: ChangeLog,
    private readonly access: Access,
  ) {
    this.#reader = new KeyReader(log)
  }

  /** Notes what the sender may change before anything is stored: what a push brings gives no right over what was there. */
  *begin(rows: readonly Dependent[]): Transaction<void> {
    for (const collection of byCollection(rows).keys())
      for (const deed of ['create', 'update', 'remove'] as const) yield* this.#filtersOf(collection, deed)
  }

  *see(rows: readonly PostedRow[], versionOf: VersionOf): Transaction<Seen> {
    const hidden = new Set<PostedRow>()
    const exits = new Map<string, number>()
    const shown = new Set<string>()
    for (const [collection, some] of byCollection(rows)) {
      const keys = this.access.keys[collection.name] ?? []
      if (keys === 'all') {
        for (const row of some) shown.add(nameOf(row))
        continue
      }
      const seen = yield* readFitting(this.log.database, collection, keys, idsOf(some.filter(row => versionOf(row).value !== null)))
      const others = some.filter(row => !seen.has(row.id))
      const left = yield* readExits(this.log.database, collection, keys, idsOf(others))
      for (const [id, stamp] of left) exits.set(nameOf({ collection, id }), stamp)
      for (const id of seen) shown.add(nameOf({ collection, id }))
      for (const row of others) if (versionOf(row).value !== null) hidden.add(row)
    }
    return {
      hidden,
      versionOf: row => (shown.has(nameOf(row)) ? versionOf(row) : { value: null, stamp: exits.get(nameOf(row)) ?? 0 }),
    }
  }

  /** Those of the rows that the sender sees. */
  *seen<R extends Dependent>(rows: readonly R[]): Transaction<R[]> {
    const seen: R[] = []
    for (const [collection, some] of byCollection(rows)) {
      const ids = yield* readFitting(this.log.database, collection, this.access.keys[collection.name] ?? [], idsOf(some))
      for (const row of some) if (ids.has(row.id)) seen.push(row)
    }
    return seen
  }

  /** When everything is stored: notes that the sender does not see rows that they have made, so that their devices hear of it. Gives all that they do not see. */
  *noteUnseen(stored: readonly PostedWrite[], stamp: number): Transaction<PostedWrite[]> {
    const seen = new Set(yield* this.seen(stored))
    const unseen = stored.filter(row => !seen.has(row))
    for (const [collection, some] of byCollection(unseen.filter(({ old }) => old.value === null))) {
      const key = columnsOfKey(collection, this.access.keys[collection.name] ?? [], this.access.caller.id)
      if (key) yield* noteUnseenByMaker(this.log.database, collection, key, idsOf(some), stamp)
    }
    return unseen
  }

  /** Before anything is stored: those whose rows the sender may not change or remove, as they are. */
  *forbiddenBefore<D extends Done>(done: readonly D[]): Transaction<D[]> {
    return yield* this.#forbidden(
      done.filter(d => d.old.value !== null),
      this.#reader,
    )
  }

  /** When everything is stored: rejects rows that the sender may not make what they are. */
  *rejectAfter(done: readonly PostedWrite[], previous: VersionOf): Transaction<Rejected[]> {
    const stored = done.filter(d => d.value !== null)
    const missing = yield* rejectUnseenParents(this.log.database, this.access, stored)
    let forbidden = yield* this.#forbiddenNow(stored, this.#reader)
    if (forbidden.length) {
      const created = [...byCollection(stored.filter(d => previous(d).value === null && previous(d).stamp === 0))]
      const ids = new Map(created.map(([{ name }, rows]) => [name, new Set(idsOf(rows))]))
      const reader = new KeyReader(this.log, { reader: this.#reader, created: ids })
      forbidden = yield* this.#forbiddenNow(forbidden, reader)
    }
    return [...forbidden.map(notAllowed), ...missing]
  }

  /** When everything is stored: those of the rows, changed by removals, that the sender may not make what they are. */
  *forbiddenAfter<D extends Done>(done: readonly D[]): Transaction<D[]> {
    return yield* this.#forbidden(done, this.#reader)
  }

  *#forbiddenNow<D extends Done>(done: readonly D[], reader: KeyReader): Transaction<D[]> {
    const forbidden = new Set(yield* this.#forbidden(done, reader))
    for (const row of yield* this.#addedTo(done, reader)) forbidden.add(row)
    return [...forbidden]
  }

  /** Those whose rows, as they are in the database at this moment, no filter fits. */
  *#forbidden<D extends Done>(done: readonly D[], reader: KeyReader): Transaction<D[]> {
    const forbidden: D[] = []
    for (const [collection, some] of byCollection(done)) {
      for (const [deed, rows] of groupBy(some, deedOf)) {
        const allowed = yield* this.#fitting(collection, yield* this.#filtersOf(collection, deed, reader), rows)
        for (const row of rows) if (!allowed.has(row.id)) forbidden.push(row)
      }
    }
    return forbidden
  }

  /** Those that came in another scope, so that others see them, where no filter that speaks of that scope fits. */
  *#addedTo<D extends Done>(done: readonly D[], reader: KeyReader): Transaction<D[]> {
    const forbidden: D[] = []
    for (const [collection, some] of byCollection(done)) {
      for (const { property: own, column, path } of collection.scopes) {
        // a path leads elsewhere where the row refers to another one
        const properties = path?.by ?? [own]
        const moved = some.filter(({ old, value }) =>
          properties.some(p => (value?.[p] ?? null) !== null && !equalValues(old.value?.[p] ?? null, value?.[p])),
        )
        for (const [deed, rows] of groupBy(moved, deedOf)) {
          const filters = yield* this.#filtersOf(collection, deed, reader)
          if (!filters.some(f => f.columns.includes(column))) continue
          const about = filters.filter(f => f.columns.includes(column) || !f.columns.length)
          const allowed = yield* this.#fitting(collection, about, rows)
          for (const row of rows) if (!allowed.has(row.id)) forbidden.push(row)
        }
      }
    }
    return forbidden
  }

  *#fitting({ table }: Collection, filters: readonly WriteFilter[], rows: readonly Dependent[]): Transaction<Set<string>> {
    if (!rows.length || !filters.length) return new Set()
    const { database } = this.log
    const { sql, values } = any(...filters.map(f => f.condition))
    const found = yield* query(
      `SELECT ${database.id(table, 'x')} AS id FROM ${quote(table.name)} x WHERE ${database.among(table.name, 'x', table.key)} AND ${sql}`,
      database.list(idsOf(rows)),
      ...values,
    )
    return new Set(found.map(row => String(row.id)))
  }

  *#filtersOf(collection: Collection, deed: Deed, reader = this.#reader): Transaction<readonly WriteFilter[]> {
    if (reader !== this.#reader) return yield* readWriteFilters(this.log, this.access, collection, deed, reader)
    const name = `${collection.name}\n${deed}`
    const known = this.#filters.get(name)
    if (known) return known
    const filters = yield* readWriteFilters(this.log, this.access, collection, deed, reader)
    this.#filters.set(name, filters)
    return filters
  }
}

const idsOf = (rows: readonly { readonly id: string }[]) => rows.map(r => r.id)
