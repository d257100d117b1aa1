// Reads what rules ask for: the values of filters, and memberships.

import type { EntityMetadata } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import { pathColumnOf } from '../src/changes/collections/scopes.js'
import { ALWAYS, all, any, type Condition, holdsTexts } from '../src/changes/scopes/conditions.js'
import { OWN_KEY } from '../src/changes/scopes/keySet.js'
import { query, quote, type Transaction } from '../src/databases/database.js'
import { KEY_COLUMN } from '../src/databases/values/compositeKeys.js'
import { IDENTITY, travelling } from '../src/databases/values/identities.js'
import { SyncConfigurationError } from '../src/errors.js'
import { filtersOf, isKeysOf, type KeysOf, listOf, metadataOf, type RuleAnswer, type RuleValue } from './rules.js'

/** What a filter asks of one property. */
export interface Resolved {
  readonly name: string
  readonly list: readonly RuleValue[]
  /** They are texts that were read. */
  readonly isRead: boolean
}

/** Those that a caller held before a push, and rows that it creates: a right that a push itself brings counts for these alone. */
interface Before {
  readonly reader: KeyReader
  /** By the tables: the ids of rows that were never there. */
  readonly created: ReadonlyMap<string, ReadonlySet<string>>
}

/** Reads memberships, each list once. */
export class KeyReader {
  readonly #known = new Map<string, readonly string[]>()

  constructor(
    private readonly log: ChangeLog,
    private readonly before?: Before,
  ) {}

  *resolve(collection: Collection, answer: RuleAnswer): Transaction<'all' | readonly (readonly Resolved[])[]> {
    if (answer === true) return 'all'
    const filters: Resolved[][] = []
    for (const filter of filtersOf(answer, collection.entity)) {
      const resolved: Resolved[] = []
      for (const [name, value] of Object.entries(filter))
        resolved.push(
          isKeysOf(value)
            ? { name, list: yield* this.#read(value), isRead: true }
            : { name, list: listOf(value, collection.entity, name), isRead: false },
        )
      filters.push(resolved)
    }
    return filters
  }

  *#read({ entity, property, where }: KeysOf): Transaction<readonly string[]> {
    const { dataSource, database } = this.log
    const metadata = metadataOf(dataSource, entity)
    const column = quote(columnOf(metadata, property).databaseName)
    // as TypeORM names it: another schema may have a table of the same name
    const table = metadata.tablePath.split('.').map(quote).join('.')
    const parts = Object.entries(where).map(([name, value]) => isOneOf(this.log, metadata, 'm', name, listOf(value, metadata.name, name)))
    const { sql, values } = parts.length ? all(...parts) : ALWAYS
    const statement = `SELECT DISTINCT ${database.text(`m.${column}`)} AS id FROM ${table} m WHERE m.${column} IS NOT NULL AND ${sql}`
    const name = JSON.stringify([statement, values.map(String)])
    const known = this.#known.get(name)
    if (known) return known
    const ids = (yield* query(statement, ...values)).map(row => String(row.id))
    const { before } = this
    const old = before && new Set(before.reader.#known.get(name))
    const created = before?.created.get(holderOf(metadata, property))
    const admitted = before ? ids.filter(id => old?.has(id) || created?.has(id)) : ids
    this.#known.set(name, admitted)
    return admitted
  }
}

/** The table whose rows have the key that the property holds: that of the relation, or its own. */
function holderOf(metadata: EntityMetadata, property: string): string {
  const column = ownColumnOf(metadata, property)
  if (column.referencedColumn?.isPrimary) return column.referencedColumn.entityMetadata.tableName
  return column.isPrimary ? metadata.tableName : ''
}

/** The column of a property that a rule names. Throws SyncConfigurationError. */
export const columnOf = (metadata: EntityMetadata, name: string): ColumnMetadata => travelling(ownColumnOf(metadata, name))

function ownColumnOf(metadata: EntityMetadata, name: string): ColumnMetadata {
  const [key, ...more] = metadata.primaryColumns
  const hidden = metadata.columns.find(c => c.propertyName === (more.length && name === OWN_KEY ? KEY_COLUMN : pathColumnOf(name)))
  const { joinColumns = [] } = metadata.findRelationWithPropertyPath(name) ?? {}
  const column =
    (more.length && name === OWN_KEY ? hidden : undefined) ??
    metadata.findColumnWithPropertyPathStrict(name) ??
    (joinColumns.length < 2 ? joinColumns[0] : undefined) ??
    hidden ??
    (name === OWN_KEY ? key : undefined)
  if (column) return column
  const why = joinColumns.length < 2 ? 'is no column of it' : 'has several columns; declare it as a scope'
  throw new SyncConfigurationError(`A rule is about ${metadata.name}.${name}, which ${why}.`, { entity: metadata.name })
}

/** «The column has one of these values», as the application’s own queries would say it; texts bytewise. */
export function isOneOf(
  { dataSource, database }: ChangeLog,
  metadata: EntityMetadata,
  alias: string,
  name: string,
  list: readonly RuleValue[],
): Condition {
  const column = columnOf(metadata, name)
  const expression = `${alias}.${quote(column.databaseName)}`
  const isIdentity = column !== ownColumnOf(metadata, name)
  const parts = list.map((value): Condition => {
    if (isIdentity && typeof value === 'number')
      throw new SyncConfigurationError(
        `A rule compares ${metadata.name}.${name} with the number ${value}, which is this database's own; compare it with the identity of that row (${IDENTITY}).`,
        { entity: metadata.name },
      )
    if (value === null) return { sql: `${expression} IS NULL`, values: [] }
    // keys, that of another row too, are compared as the database has them
    const prepared = column.relationMetadata || column.isPrimary ? value : dataSource.driver.preparePersistentValue(value, column)
    const isSame: Condition = { sql: `${expression} = ?`, values: [prepared] }
    const isText = typeof prepared === 'string' && holdsTexts(dataSource.driver.normalizeType(column))
    return isText ? all(isSame, { sql: database.amongTexts(expression), values: [database.list([prepared])] }) : isSame
  })
  return any(...parts)
}
