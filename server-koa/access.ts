// What a caller may see and change, found out in the transaction that needs it.

import { createHash } from 'node:crypto'
import type { EntityMetadata } from 'typeorm'
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import type { ChangeLog } from '../src/changes/changeLog.js'
import type { Collection } from '../src/changes/collections/collection.js'
import { pathColumnOf } from '../src/changes/collections/scopes.js'
import { ALWAYS, all, among, any, type Condition, holdsTexts } from '../src/changes/scopes/conditions.js'
import { countKeys, type Filter, type KeySet, type Keys, normalizeKeys, OWN_KEY } from '../src/changes/scopes/keySet.js'
import { query, quote, type Transaction } from '../src/databases/database.js'
import { SyncConfigurationError } from '../src/errors.js'
import type { Caller, Principal } from './principal.js'
import {
  filtersOf,
  isKeysOf,
  type KeysOf,
  listOf,
  metadataOf,
  type Rule,
  type RuleAnswer,
  type Rules,
  type RuleValue,
  rulesOf,
} from './rules.js'

/** More keys than these of one caller would cost each of their requests too much. */
const MOST_KEYS = 1_000

/** What is done to a row. */
export type Deed = 'create' | 'update' | 'remove'

export interface Access {
  /** What answers call the caller. */
  readonly principal: string
  /** What answers call the set of the keys. */
  readonly scope: string
  readonly keys: KeySet
  readonly rules: Rules
  /** The caller as the application has named them. */
  readonly caller: Principal
}

/** Evaluates the rules for a caller. Undefined where there are none, and everything is public. Throws SyncConfigurationError. */
export function* readAccess(log: ChangeLog, { principal, rules: list, caller }: Caller): Transaction<Access | undefined> {
  if (!list || !caller || principal === undefined) return
  const rules = rulesOf(log, list)
  const reader = new KeyReader(log)
  const keys: Record<string, Keys> = {}
  for (const [collection, { options }] of rules) keys[collection.name] = yield* readKeys(reader, collection, options.read(caller))
  return { principal, scope: nameSet(principal, keys), keys, rules, caller }
}

const nameSet = (principal: string, keys: KeySet) =>
  createHash('sha256')
    .update(JSON.stringify([principal, Object.entries(keys).sort(([x], [y]) => (x < y ? -1 : 1))]))
    .digest('base64url')
    .slice(0, 22)

/** The collections that are served to a caller. */
export function servedTo(log: ChangeLog, { rules }: Caller): ChangeLog['collections'] {
  const served = rules && rulesOf(log, rules)
  return served ? log.collections.filter(c => served.has(c)) : log.collections
}

function* readKeys(reader: KeyReader, collection: Collection, answer: RuleAnswer): Transaction<Keys> {
  const resolved = yield* reader.resolve(collection, answer)
  if (resolved === 'all') return 'all'
  const textsOf = ({ list }: Resolved) => list.flatMap(value => (value === null ? [] : String(value)))
  const filters = resolved.map((filter): Filter => Object.fromEntries(filter.map(r => [scopeOf(collection, r.name), textsOf(r)])))
  const keys = normalizeKeys(filters)
  const count = countKeys(keys)
  if (count > MOST_KEYS)
    throw new SyncConfigurationError(
      `A caller holds ${count} keys of ${collection.entity}; ${MOST_KEYS} are possible. Scope its rows by something that holds more of them.`,
      { entity: collection.entity },
    )
  return keys
}

/** By its wire name. */
function scopeOf(collection: Collection, name: string): string {
  if (name === OWN_KEY || name === collection.keyProperty) return OWN_KEY
  const scope = collection.scopes.find(c => c.property === name || c.metadata.relationMetadata?.propertyPath === name)
  if (scope) return scope.property
  const { entity } = collection
  throw new SyncConfigurationError(
    `The rule of ${entity} reads by ${name}, which is no scope of it: @EnableSync('${collection.paths[0]}', { scopes: ['${name}'] }).`,
    { entity },
  )
}

/** What a filter asks of one property. */
interface Resolved {
  readonly name: string
  readonly list: readonly RuleValue[]
  /** They are texts that were read. */
  readonly isRead: boolean
}

/** Those that a caller held before a push, and rows that it creates: a right that a push itself brings counts for these alone. */
export interface Before {
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
    const parts = Object.entries(where).map(([name, value]) => isOneOf(this.log, metadata, 'm', name, listOf(value, metadata.name, name)))
    const { sql, values } = parts.length ? all(...parts) : ALWAYS
    const statement = `SELECT DISTINCT ${database.text(`m.${column}`)} AS id FROM ${quote(metadata.tableName)} m WHERE m.${column} IS NOT NULL AND ${sql}`
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
  const column = columnOf(metadata, property)
  if (column.referencedColumn?.isPrimary) return column.referencedColumn.entityMetadata.tableName
  return column.isPrimary ? metadata.tableName : ''
}

/** Throws SyncConfigurationError. */
function columnOf(metadata: EntityMetadata, name: string): ColumnMetadata {
  const own = name === OWN_KEY && metadata.primaryColumns.length === 1 ? metadata.primaryColumns[0] : undefined
  const hidden = metadata.columns.find(c => c.propertyName === pathColumnOf(name))
  const column =
    metadata.findColumnWithPropertyPathStrict(name) ?? metadata.findRelationWithPropertyPath(name)?.joinColumns[0] ?? own ?? hidden
  if (column) return column
  throw new SyncConfigurationError(`A rule is about ${metadata.name}.${name}, which is no column of it.`, { entity: metadata.name })
}

/** «The column has one of these values», as the application’s own queries would say it; texts bytewise. */
function isOneOf(
  { dataSource, database }: ChangeLog,
  metadata: EntityMetadata,
  alias: string,
  name: string,
  list: readonly RuleValue[],
): Condition {
  const column = columnOf(metadata, name)
  const expression = `${alias}.${quote(column.databaseName)}`
  const parts = list.map((value): Condition => {
    if (value === null) return { sql: `${expression} IS NULL`, values: [] }
    // of a relation the value is the key of the other row
    const prepared = column.relationMetadata ? value : dataSource.driver.preparePersistentValue(value, column)
    const isSame: Condition = { sql: `${expression} = ?`, values: [prepared] }
    const isText = typeof prepared === 'string' && holdsTexts(dataSource.driver.normalizeType(column))
    return isText ? all(isSame, { sql: database.amongTexts(expression), values: [database.list([prepared])] }) : isSame
  })
  return any(...parts)
}

/** A filter of a rule for changing rows, on the row x; `columns`: those that it names. */
export interface WriteFilter {
  readonly condition: Condition
  readonly columns: readonly string[]
}

/** Evaluates a rule for changing rows: one of these has to fit. */
export function* readWriteFilters(
  log: ChangeLog,
  { rules, caller }: Access,
  collection: Collection,
  deed: Deed,
  reader: KeyReader,
): Transaction<readonly WriteFilter[]> {
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
