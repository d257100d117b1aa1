// What a caller may change, as conditions on rows.

import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import { ALWAYS, all, among, any, type Condition, holdsTexts } from '../src/changes/scopes/conditions.js'
import { quote, type Transaction } from '../src/databases/database.js'
import type { Access } from './access.js'
import { columnOf, isOneOf, type KeyReader } from './keyReader.js'
import { type Owner, ownerOf } from './linkRules.js'
import type { Rule, RuleAnswer } from './rules.js'

/** What is done to a row. */
export type Deed = 'create' | 'update' | 'remove'

/** A filter of a rule for changing rows, on the row x; `columns`: those that it names. */
export interface WriteFilter {
  readonly condition: Condition
  readonly columns: readonly string[]
}

/** Evaluates a rule for changing rows: one of these has to fit. */
export function* readWriteFilters(
  log: ChangeLog,
  access: Access,
  collection: Collection,
  deed: Deed,
  reader: KeyReader,
): Transaction<readonly WriteFilter[]> {
  const { rules, caller } = access
  const owner = ownerOf(collection)
  if (owner) return yield* readOwnersFilters(log, access, owner, reader)
  const { read, write } = (rules.get(collection) as Rule).options
  const answer: RuleAnswer = ((typeof write === 'function' ? write : write?.[deed]) ?? read)(caller)
  const resolved = yield* reader.resolve(collection, answer)
  if (resolved === 'all') return [{ condition: ALWAYS, columns: [] }]
  const { metadata, table } = collection
  return resolved.map((filter): WriteFilter => {
    const parts = filter.map(({ name, list, isRead }): Condition => {
      const { databaseName } = columnOf(metadata, name)
      if (!isRead) return isOneOf(log, metadata, 'x', name, list)
      const isText = holdsTexts(log.dataSource.driver.normalizeType(columnOf(metadata, name)))
      return among(log.database, table.name, 'x', databaseName, list as string[], isText) ?? any()
    })
    return { condition: parts.length ? all(...parts) : ALWAYS, columns: filter.map(({ name }) => columnOf(metadata, name).databaseName) }
  })
}

/** Who may change the row that owns a link may make and remove the link. */
function* readOwnersFilters(
  log: ChangeLog,
  access: Access,
  { parent, childColumns, parentColumns }: Owner,
  reader: KeyReader,
): Transaction<readonly WriteFilter[]> {
  const filters = yield* readWriteFilters(log, access, parent, 'update', reader)
  return filters.map(({ condition: { sql, values } }) => ({
    condition: {
      sql: `(${listOf(childColumns)}) IN (SELECT ${listOf(parentColumns)} FROM ${quote(parent.table.name)} x WHERE ${sql})`,
      values,
    },
    columns: [],
  }))
}

const listOf = (columns: readonly string[]) => columns.map(column => `x.${quote(column)}`).join(', ')
