// What the tables of a history are: the small ones of old (an entity, and perhaps one that needs it), and others whose rows have unique values,
// need each other in both directions, form trees, or have a column that not every database has yet.

import { EntitySchema, type EntitySchemaColumnOptions, type EntitySchemaRelationOptions } from 'typeorm'
import { enableSync } from '../../src/entity/enableSync.js'

export const RELATIONS = ['none', 'CASCADE', 'RESTRICT', 'SET NULL'] as const
export type RelationKind = (typeof RELATIONS)[number]

export const IDS = ['x', 'y', 'z', 'w', 'v'] as const
/** What the oracle follows, in every table. */
export const PROPERTIES = ['a', 'b', 'c'] as const

export interface NumberColumn {
  readonly kind: 'number'
  readonly column: string
  readonly type: 'integer' | 'smallint'
  readonly nullable: boolean
  readonly unique: boolean
}

export interface ReferenceColumn {
  readonly kind: 'reference'
  readonly column: string
  readonly to: string
  readonly onDelete: 'CASCADE' | 'SET NULL' | 'RESTRICT'
  readonly nullable: boolean
  /** One-to-one. */
  readonly unique: boolean
}

/** A column that a trigger of the servers' fills. */
export interface TouchedColumn {
  readonly kind: 'touched'
  readonly column: string
}

export type ExtraColumn = NumberColumn | ReferenceColumn | TouchedColumn

export interface TableSpec {
  readonly name: string
  readonly ids: readonly string[]
  readonly extras: readonly ExtraColumn[]
  /** Columns that are unique together. */
  readonly together: readonly (readonly string[])[]
}

export interface Schema {
  readonly name: string
  readonly tables: readonly TableSpec[]
  readonly ids: readonly string[]
  /** Its tables need each other. */
  readonly isMutual?: boolean
  /** A removal may come back to where it began, which is rejected on MariaDB. */
  readonly isRound?: boolean
  /** Not one of the small ones of old. */
  readonly isWide: boolean
  /** A trigger of the servers' that has a word: it changes another column, or skips a removal. */
  readonly trigger?: 'touch' | 'skip'
  /** A column of `item` that some databases lack at first, and gain. */
  readonly gained?: (typeof PROPERTIES)[number]
}

const number = (column: string, { type = 'integer', nullable = true, unique = true }: Partial<NumberColumn> = {}): NumberColumn => ({
  ...{ kind: 'number', column, type, nullable, unique },
})
const reference = (
  column: string,
  to: string,
  onDelete: ReferenceColumn['onDelete'],
  { nullable = true, unique = false } = {},
): ReferenceColumn => ({ kind: 'reference', column, to, onDelete, nullable, unique })

const table = (
  name: string,
  ids: readonly string[],
  extras: readonly ExtraColumn[] = [],
  together: readonly (readonly string[])[] = [],
): TableSpec => ({ name, ids, extras, together })

const schema = (name: string, tables: readonly TableSpec[], more: Pick<Schema, 'trigger' | 'gained'> = {}): Schema => ({
  isMutual: name.startsWith('mutual'),
  isRound: /^mutual|^tree (CASCADE|SET NULL)/.test(name),
  ...{ name, tables, isWide: true, ids: tables.flatMap(t => t.ids) },
  ...more,
})

const slot = number('slot', { type: 'smallint', nullable: false })

export const WIDE_SCHEMAS: readonly Schema[] = [
  schema('unique', [
    table(
      'item',
      ['x', 'y', 'z', 'w', 'v'],
      [number('place'), slot, number('g', { unique: false }), number('h', { unique: false })],
      [['g', 'h']],
    ),
  ]),
  // a list that can be sorted, in each parent
  schema('list', [
    table('item', ['x', 'y']),
    table(
      'part',
      ['z', 'w', 'v'],
      [reference('itemId', 'item', 'CASCADE', { nullable: false }), number('place', { type: 'smallint', nullable: false, unique: false })],
      [['itemId', 'place']],
    ),
  ]),
  schema('mutual', [
    table('team', ['x', 'y'], [reference('captainId', 'player', 'SET NULL', { unique: true })]),
    table('player', ['z', 'w', 'v'], [reference('teamId', 'team', 'CASCADE', { nullable: false })]),
  ]),
  schema('mutual, loose', [
    table('team', ['x', 'y'], [reference('captainId', 'player', 'SET NULL', { unique: true })]),
    table('player', ['z', 'w', 'v'], [reference('teamId', 'team', 'SET NULL'), number('shirt', { type: 'smallint' })]),
  ]),
  schema('tree CASCADE', [table('item', ['x', 'y', 'z', 'w', 'v'], [reference('parentId', 'item', 'CASCADE')])]),
  schema('tree SET NULL', [
    table(
      'item',
      ['x', 'y', 'z', 'w', 'v'],
      [reference('parentId', 'item', 'SET NULL'), number('place', { unique: false })],
      [['parentId', 'place']],
    ),
  ]),
  schema('tree RESTRICT', [table('item', ['x', 'y', 'z', 'w', 'v'], [reference('parentId', 'item', 'RESTRICT')])]),
  schema('several', [
    table('item', ['x', 'y']),
    table('box', ['w'], [reference('itemId', 'item', 'CASCADE', { nullable: false })]),
    table('note', ['v'], [reference('itemId', 'item', 'SET NULL')]),
    table('bolt', ['z'], [reference('itemId', 'item', 'RESTRICT', { nullable: false })]),
    table('leaf', ['u'], [reference('boxId', 'box', 'CASCADE', { nullable: false })]),
  ]),
  schema('one-to-one', [
    table('item', ['x', 'y']),
    table('part', ['z', 'w', 'v'], [reference('itemId', 'item', 'CASCADE', { nullable: false, unique: true })]),
  ]),
  schema('touched', [table('item', ['x', 'y', 'z', 'w', 'v'], [{ kind: 'touched', column: 't' }])], { trigger: 'touch' }),
  schema('kept', [table('item', ['x', 'y', 'z', 'w', 'v'], [{ kind: 'touched', column: 't' }])], { trigger: 'skip' }),
  schema('gaining', [table('item', ['x', 'y', 'z', 'w', 'v'])], { gained: 'b' }),
]

const oldSchema = (relation: RelationKind): Schema => ({
  name: relation,
  isWide: false,
  ids: IDS,
  tables:
    relation === 'none'
      ? [table('item', IDS)]
      : [table('item', ['x', 'y', 'z']), table('part', ['w', 'v'], [reference('itemId', 'item', relation)])],
})
export const OLD_SCHEMAS = Object.fromEntries(RELATIONS.map(r => [r, oldSchema(r)])) as Record<RelationKind, Schema>

export const numbersOf = ({ extras }: TableSpec) => extras.filter(e => e.kind === 'number')
export const referencesOf = ({ extras }: TableSpec) => extras.filter(e => e.kind === 'reference')

/** The entities of a schema; `without`: before the column came. `key`: a type of column that the database can index. */
export function entitiesOf({ tables, isWide, gained }: Schema, key: 'text' | 'varchar', lacksGained: boolean): EntitySchema[] {
  return tables.map(({ name, extras, together }) => {
    const columns: Record<string, EntitySchemaColumnOptions> = { id: { type: key, primary: true } }
    for (const p of PROPERTIES) if (!(lacksGained && p === gained)) columns[p] = { type: 'text', nullable: true }
    const relations: Record<string, EntitySchemaRelationOptions> = {}
    for (const extra of extras) {
      const { kind, column } = extra
      if (kind === 'touched') columns[column] = { type: 'text', nullable: true }
      if (kind === 'number') columns[column] = { type: extra.type, nullable: extra.nullable, unique: extra.unique }
      if (kind !== 'reference') continue
      const { to, onDelete, nullable, unique } = extra
      // wide ones name the column itself as a property
      if (isWide) columns[column] = { type: key, nullable }
      relations[column.replace(/Id$/, '')] = {
        ...{ type: unique ? 'one-to-one' : 'many-to-one', target: to, onDelete, nullable, joinColumn: { name: column } },
      }
    }
    const entity = new EntitySchema({
      ...{ name, tableName: name, columns, relations },
      uniques: together.map(c => ({ columns: [...c] })),
    })
    enableSync(entity, `/${name}s`)
    return entity
  })
}
