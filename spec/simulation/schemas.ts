// What the tables of a history are: the small ones of old (an entity, and perhaps one that needs it), and others whose rows have unique values,
// need each other in both directions, form trees, have a column that not every database has yet, or belong to users.

import { EntitySchema, type EntitySchemaColumnOptions, type EntitySchemaRelationOptions } from 'typeorm'
import { referenceColumnOf } from '../../src/databases/values/identities.js'
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
  /** Its value is a scope of the row. */
  readonly isScope?: boolean
  /** The key of the other row has two columns, and so has the foreign key: `<column>K` and `<column>N`. The column itself joins them. */
  readonly isSplit?: boolean
}

/** A column that a trigger of the servers' fills. */
export interface TouchedColumn {
  readonly kind: 'touched'
  readonly column: string
}

/** One of a few texts, such as who the row belongs to. */
export interface ChoiceColumn {
  readonly kind: 'choice'
  readonly column: string
  readonly values: readonly (string | null)[]
  readonly isScope: boolean
}

export type ExtraColumn = NumberColumn | ReferenceColumn | TouchedColumn | ChoiceColumn

export interface TableSpec {
  readonly name: string
  readonly ids: readonly string[]
  readonly extras: readonly ExtraColumn[]
  /** Columns that are unique together. */
  readonly together: readonly (readonly string[])[]
  /** Its key has two columns: this one and the number `n`, which an id has behind a slash. */
  readonly composite?: string
  /** The database counts its rows: `num`. What the histories call a row by is its identity. */
  readonly isNumbered?: boolean
  /** Its key is a number that the application gives. */
  readonly isGiven?: boolean
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
  /** Its users see a part of the rows: who is a member of which list stands in the table `member`, which is synced or not. */
  readonly users?: UsersSpec
  /** A many-to-many relation from `item` to this table, by a table `link` of two columns, `item` and `other`. */
  readonly linked?: string
}

export interface UsersSpec {
  /** The column of `member` that names the list. */
  readonly list: 'list' | 'listId'
  readonly lists: readonly string[]
  readonly isSynced: boolean
  /** The scope of a row is that of its parent. */
  readonly path?: { readonly table: string; readonly column: string; readonly of: string; readonly name: string }
}

const number = (column: string, { type = 'integer', nullable = true, unique = true }: Partial<NumberColumn> = {}): NumberColumn => ({
  ...{ kind: 'number', column, type, nullable, unique },
})
const reference = (
  column: string,
  to: string,
  onDelete: ReferenceColumn['onDelete'],
  { nullable = true, unique = false, isScope = false, isSplit = false } = {},
): ReferenceColumn => ({ kind: 'reference', column, to, onDelete, nullable, unique, isScope, isSplit })

const table = (
  name: string,
  ids: readonly string[],
  extras: readonly ExtraColumn[] = [],
  together: readonly (readonly string[])[] = [],
): TableSpec => ({ name, ids, extras, together })

const composite = (name: string, column: string, ids: readonly string[], extras: readonly ExtraColumn[]): TableSpec => ({
  ...table(name, ids, extras),
  composite: column,
})

const schema = (
  name: string,
  tables: readonly TableSpec[],
  more: Pick<Schema, 'trigger' | 'gained' | 'users' | 'linked'> = {},
): Schema => ({
  isMutual: /^(users, )?mutual/.test(name),
  isRound: /^(users, )?(mutual|tree (CASCADE|SET NULL))/.test(name),
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

/** Keys of several columns, and links. */
export const COMPOSITE_SCHEMAS: readonly Schema[] = [
  schema('links', [table('item', ['x', 'y', 'w']), table('tag', ['z', 'v'])], { linked: 'tag' }),
  schema('links to its own kind', [table('item', ['x', 'y', 'z', 'w'])], { linked: 'item' }),
  schema('composite', [composite('item', 'k', ['x/1', 'x/2', 'y/1', 'y/-1', 'z/1'], [number('place'), slot])]),
  schema('composite CASCADE', [
    table('item', ['x', 'y']),
    composite('part', 'itemId', ['x/1', 'x/2', 'y/1'], [reference('itemId', 'item', 'CASCADE', { nullable: false }), number('place')]),
  ]),
  schema('composite RESTRICT', [
    table('item', ['x', 'y']),
    composite('part', 'itemId', ['x/1', 'x/2', 'y/1'], [reference('itemId', 'item', 'RESTRICT', { nullable: false })]),
  ]),
  // foreign keys of two columns
  ...(['CASCADE', 'SET NULL', 'RESTRICT'] as const).map(onDelete =>
    schema(`needed composite ${onDelete}`, [
      composite('item', 'k', ['x/1', 'x/2', 'y/1'], []),
      table('part', ['z', 'v'], [reference('itemId', 'item', onDelete, { isSplit: true })]),
    ]),
  ),
  schema('needed composite, always', [
    composite('item', 'k', ['x/1', 'x/2', 'y/1'], []),
    table('part', ['z', 'v'], [reference('itemId', 'item', 'CASCADE', { nullable: false, unique: true, isSplit: true })]),
  ]),
  schema('tree RESTRICT, composite', [
    composite('item', 'k', ['x/1', 'x/2', 'y/1', 'y/2'], [reference('parentId', 'item', 'RESTRICT', { isSplit: true })]),
  ]),
]

const given = (name: string, ids: readonly string[], extras: readonly ExtraColumn[] = []): TableSpec => ({
  ...table(name, ids, extras),
  isGiven: true,
})

/** Keys that are numbers of the application's. */
export const GIVEN_SCHEMAS: readonly Schema[] = [
  ...(['CASCADE', 'SET NULL', 'RESTRICT'] as const).map(onDelete =>
    schema(`given ${onDelete}`, [given('item', ['1', '-2', '30']), table('part', ['z', 'v'], [reference('itemId', 'item', onDelete)])]),
  ),
  schema('tree CASCADE, given', [given('item', ['1', '-2', '30', '4'], [reference('parentId', 'item', 'CASCADE')])]),
  schema('given, always', [
    given('item', ['1', '2'], [number('place')]),
    given('part', ['11', '12', '13'], [reference('itemId', 'item', 'CASCADE', { nullable: false })]),
  ]),
]

/** As another, with rows that each database counts for itself. */
const withNumbers = (like: Schema): Schema => ({
  ...like,
  name: `numbered ${like.name}`,
  tables: like.tables.map(t => (t.composite ? t : { ...t, isNumbered: true })),
})
const numbered = (name: string): Schema => withNumbers([...WIDE_SCHEMAS, ...COMPOSITE_SCHEMAS].find(s => s.name === name) as Schema)

export const NUMBERED_SCHEMAS: readonly Schema[] = [
  ...['unique', 'mutual, loose', 'tree CASCADE', 'tree SET NULL', 'tree RESTRICT', 'several', 'one-to-one'],
  ...['links', 'links to its own kind', 'composite CASCADE'],
].map(numbered)

export const USERS = ['p1', 'p2', 'p3'] as const
export const ROLES = ['writer', 'writer', 'reader'] as const
const LISTS = ['l1', 'l2', 'l3'] as const

const choice = (column: string, values: readonly (string | null)[], isScope = true): ChoiceColumn => ({
  ...{ kind: 'choice', column, values, isScope },
})
const OWNER = choice('owner', [...USERS, null])
const LIST = choice('list', [...LISTS, null])
const WHO = choice('who', USERS)
const ROLE = choice('role', ROLES, false)
const MEMBERS = ['m1', 'm2', 'm3', 'm4']

/** Rows that belong to users, or to lists whose members see them. */
const ownedSchema = (relation: RelationKind, isSynced: boolean): Schema =>
  schema(
    `users ${relation}${isSynced ? ', members synced' : ''}`,
    [
      table('item', ['x', 'y'], [OWNER, LIST]),
      table('part', ['z', 'w', 'v'], [OWNER, LIST, ...(relation === 'none' ? [] : [reference('itemId', 'item', relation)])]),
      ...(isSynced ? [table('member', MEMBERS, [WHO, choice('list', LISTS), ROLE])] : []),
    ],
    { users: { list: 'list', lists: LISTS, isSynced } },
  )

/** What is in a list that is seen is seen. */
const pathSchema = (relation: RelationKind): Schema =>
  schema(
    `users, paths ${relation}`,
    [
      table('item', ['x', 'y', 'u'], [OWNER, LIST]),
      table('part', ['z', 'w', 'v'], [OWNER, reference('itemId', 'item', relation as 'CASCADE')]),
    ],
    {
      users: {
        ...{ list: 'list', lists: LISTS, isSynced: false },
        path: { table: 'part', column: 'itemId', of: 'list', name: 'item.list' },
      },
    },
  )

export const USER_SCHEMAS: readonly Schema[] = [
  ...[false, true].flatMap(isSynced => RELATIONS.map(relation => ownedSchema(relation, isSynced))),
  // lists are rows themselves, whose members see them and what is in them
  ...(['CASCADE', 'SET NULL'] as const).map(relation =>
    schema(
      `users, lists ${relation}`,
      [
        table('item', ['x', 'y', 'z'], [OWNER]),
        table('member', MEMBERS, [WHO, ROLE, reference('listId', 'item', 'CASCADE', { nullable: false, isScope: true })]),
        table('part', ['w', 'v'], [OWNER, reference('listId', 'item', relation, { isScope: true })]),
      ],
      { users: { list: 'listId', lists: ['x', 'y', 'z'], isSynced: true } },
    ),
  ),
  ...(['CASCADE', 'RESTRICT', 'SET NULL'] as const).map(pathSchema),
]

const withLists = { users: { list: 'list' as const, lists: LISTS, isSynced: false } }

/** As others, with keys of several columns, and with rows that each database counts for itself. */
export const OTHER_USER_SCHEMAS: readonly Schema[] = [
  ...(['CASCADE', 'RESTRICT'] as const).map(onDelete =>
    schema(
      `users, composite ${onDelete}`,
      [
        table('item', ['x', 'y'], [OWNER, LIST]),
        composite('part', 'itemId', ['x/1', 'x/2', 'y/1'], [OWNER, LIST, reference('itemId', 'item', onDelete, { nullable: false })]),
      ],
      withLists,
    ),
  ),
  ...(['CASCADE', 'SET NULL'] as const).map(onDelete =>
    schema(
      `users, needed composite ${onDelete}`,
      [
        composite('item', 'k', ['x/1', 'x/2', 'y/1'], [OWNER, LIST]),
        table('part', ['z', 'v'], [OWNER, LIST, reference('itemId', 'item', onDelete, { isSplit: true })]),
      ],
      withLists,
    ),
  ),
  schema('users, links', [table('item', ['x', 'y'], [OWNER, LIST]), table('part', ['z', 'v'], [OWNER, LIST])], {
    ...withLists,
    linked: 'part',
  }),
  ...USER_SCHEMAS.map(withNumbers),
]

/** As others, with trees, unique values, and rows that need each other. */
export const RELATED_USER_SCHEMAS: readonly Schema[] = [
  ...(['CASCADE', 'SET NULL', 'RESTRICT'] as const).map(onDelete =>
    schema(`users, tree ${onDelete}`, [table('item', IDS, [OWNER, LIST, reference('parentId', 'item', onDelete)])], withLists),
  ),
  schema('users, unique', [table('item', IDS, [OWNER, LIST, number('place', { unique: false })], [['list', 'place']])], withLists),
  schema('users, unique for all', [table('item', IDS, [OWNER, LIST, number('place')])], withLists),
  schema(
    'users, one-to-one',
    [
      table('item', ['x', 'y'], [OWNER, LIST]),
      table('part', ['z', 'w', 'v'], [OWNER, LIST, reference('itemId', 'item', 'CASCADE', { nullable: false, unique: true })]),
    ],
    withLists,
  ),
  ...(['touch', 'skip'] as const).map(trigger =>
    schema(`users, trigger ${trigger}`, [table('item', IDS, [OWNER, LIST, { kind: 'touched', column: 't' }])], { ...withLists, trigger }),
  ),
  schema(
    'users, mutual',
    [
      table('item', ['x', 'y'], [OWNER, LIST, reference('partId', 'part', 'SET NULL', { unique: true })]),
      table('part', ['z', 'w', 'v'], [OWNER, LIST, reference('itemId', 'item', 'SET NULL')]),
    ],
    withLists,
  ),
]

/** What sameHistory.ts drives with users. */
export const ONE_TABLE_OF_USERS = schema('users, one table', [table('item', IDS, [OWNER, LIST])], {
  users: { list: 'list', lists: LISTS, isSynced: false },
})

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
export const choicesOf = ({ extras }: TableSpec) => extras.filter(e => e.kind === 'choice')
export const referencesOf = ({ extras }: TableSpec) => extras.filter(e => e.kind === 'reference')

/** Values as they are written: what joins two columns is not. */
export function writtenOf({ extras }: TableSpec, values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const written = { ...values }
  for (const extra of extras) {
    if (extra.kind !== 'reference' || !extra.isSplit || !Object.hasOwn(written, extra.column)) continue
    const { column } = extra
    const [first = null, second = null] = written[column] === null ? [] : String(written[column]).split('/')
    delete written[column]
    Object.assign(written, { [`${column}K`]: first, [`${column}N`]: second === null ? null : Number(second) })
  }
  return written
}

/** The key of the row that a row needs, in what is pushed. */
export function neededIn({ column, isSplit }: ReferenceColumn, row: Readonly<Record<string, unknown>>): unknown {
  if (!isSplit) return row[column]
  const [first, second] = [row[`${column}K`], row[`${column}N`]]
  return first === undefined ? undefined : first === null ? null : `${first}/${second}`
}

/** A column that the application has made of two. */
const joined = (first: string, second: string, key: 'text' | 'varchar'): EntitySchemaColumnOptions => ({
  ...{ type: key, nullable: true, generatedType: key === 'varchar' ? 'VIRTUAL' : 'STORED' },
  asExpression: key === 'varchar' ? `concat(\`${first}\`, '/', \`${second}\`)` : `"${first}" || '/' || CAST("${second}" AS text)`,
})

/** The columns of a key. What the histories call a row by is a column that the application has made of two. */
function keyColumns(spec: TableSpec, key: 'text' | 'varchar', schema: Pick<Schema, 'tables'>): Record<string, EntitySchemaColumnOptions> {
  const { composite, isNumbered, isGiven } = spec
  const asIs = (column: string) =>
    ({
      ...{ type: key, asExpression: key === 'varchar' ? `\`${column}\`` : `"${column}"`, nullable: true },
      generatedType: key === 'varchar' ? 'VIRTUAL' : 'STORED',
    }) as const
  if (isNumbered) return { num: { type: 'integer', primary: true, generated: 'increment' }, id: asIs('_sync_identity') }
  if (isGiven)
    return {
      n: { type: 'integer', primary: true },
      id: { ...asIs('n'), asExpression: key === 'varchar' ? 'concat(n)' : 'CAST(n AS text)' },
    }
  if (!composite) return { id: { type: key, primary: true } }
  if (referencesOf(spec).some(r => isNumberedReference(schema, r) && r.column === composite)) {
    const identity = referenceColumnOf(numberColumnOf(composite))
    return {
      [composite]: { type: 'integer', primary: true, name: numberColumnOf(composite) },
      n: { type: 'integer', primary: true },
      id: {
        ...asIs(identity),
        asExpression: key === 'varchar' ? `concat(\`${identity}\`, '/', n)` : `"${identity}" || '/' || CAST(n AS text)`,
      },
      [`${composite}_`]: { ...asIs(identity), name: composite },
    }
  }
  return {
    [composite]: { type: key, primary: true },
    n: { type: 'integer', primary: true },
    id: joined(composite, 'n', key),
  }
}

/** Does it lead to rows that the database counts? Then the column holds their identities, generated, and another one the numbers. */
export const isNumberedReference = ({ tables }: Pick<Schema, 'tables'>, { to }: ReferenceColumn) =>
  tables.some(t => t.name === to && t.isNumbered)

/** The reference's relation, and the column of its numbers. */
export const relationNameOf = (column: string) => column.replace(/Id$/, '')
export const numberColumnOf = (column: string) => column.replace(/Id$/, 'Num')

/** The columns of the key of a row with this id. */
export function keyOfId({ composite, isNumbered, isGiven }: TableSpec, id: string): Record<string, string | number> {
  if (isNumbered) return { _sync_identity: id }
  if (isGiven) return { n: Number(id) }
  const [first, second] = id.split('/') as [string, string]
  return composite ? { [composite]: first, n: Number(second) } : { id }
}

/** The entities of a schema; `without`: before the column came. `key`: a type of column that the database can index. */
export function entitiesOf(schema: Schema, key: 'text' | 'varchar', lacksGained: boolean): EntitySchema[] {
  const { tables, isWide, gained, users, linked } = schema
  const synced = tables.map(spec => {
    const { name, extras, together, composite } = spec
    const columns = keyColumns(spec, key, schema)
    for (const p of PROPERTIES) if (!(lacksGained && p === gained)) columns[p] = { type: 'text', nullable: true }
    const relations: Record<string, EntitySchemaRelationOptions> = {}
    for (const extra of extras) {
      const { kind, column } = extra
      if (kind === 'touched') columns[column] = { type: 'text', nullable: true }
      if (kind === 'choice') columns[column] = { type: key, nullable: true }
      if (kind === 'number') columns[column] = { type: extra.type, nullable: extra.nullable, unique: extra.unique }
      if (kind !== 'reference') continue
      const { to, onDelete, nullable, unique, isSplit } = extra
      if (isSplit) {
        columns[`${column}K`] = { type: key, nullable }
        columns[`${column}N`] = { type: 'integer', nullable }
        columns[column] = joined(`${column}K`, `${column}N`, key)
      }
      // wide ones name the column itself as a property
      const isNumber = isNumberedReference(schema, extra)
      const own = isNumber ? numberColumnOf(column) : column
      if (isNumber && column !== composite) {
        const identity = referenceColumnOf(own)
        columns[column] = { type: 'integer', name: own, nullable }
        columns[`${column}_`] = {
          ...{ type: key, name: column, asExpression: key === 'varchar' ? `\`${identity}\`` : `"${identity}"`, nullable: true },
          generatedType: key === 'varchar' ? 'VIRTUAL' : 'STORED',
        }
      } else if (isWide && !isSplit && column !== composite)
        columns[column] = { type: tables.some(t => t.name === to && t.isGiven) ? 'integer' : key, nullable }
      const needed = tables.find(t => t.name === to)?.composite as string
      const pairs = [
        { name: `${column}K`, referencedColumnName: needed },
        { name: `${column}N`, referencedColumnName: 'n' },
      ]
      relations[relationNameOf(column)] = {
        ...{ type: unique ? 'one-to-one' : 'many-to-one', target: to, onDelete, nullable, joinColumn: isSplit ? pairs : { name: own } },
      }
    }
    if (linked && name === 'item')
      relations.linked = {
        ...{ type: 'many-to-many', target: linked },
        joinTable: { name: 'link', joinColumn: { name: 'item' }, inverseJoinColumn: { name: 'other' } },
      }
    const entity = new EntitySchema({
      ...{ name, tableName: name, columns, relations },
      uniques: together.map(c => ({ columns: [...c] })),
    })
    const scopes = extras.flatMap(e => ('isScope' in e && e.isScope ? e.column : []))
    if (users?.path?.table === name) scopes.push(users.path.name)
    enableSync(entity, `/${name}s`, scopes.length ? { scopes } : {})
    return entity
  })
  return users && !users.isSynced ? [...synced, memberEntity(key)] : synced
}

function memberEntity(key: 'text' | 'varchar'): EntitySchema {
  const columns = Object.fromEntries(['id', 'who', 'list', 'role'].map(name => [name, { type: key, primary: name === 'id' }]))
  return new EntitySchema({ name: 'member', tableName: 'member', columns })
}
