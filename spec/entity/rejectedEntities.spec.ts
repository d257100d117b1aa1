import { describe, expect, test } from '@jest/globals'
import { DataSource, type DataSourceOptions, EntitySchema } from 'typeorm'
import { enableSync } from '../../src/entity/enableSync.js'
import { withSync } from '../../src/entity/withSync.js'
import { SyncConfigurationError } from '../../src/errors.js'
import { dataSourceOn, newFile } from './openDataSource.js'

type Options = EntitySchema<any>['options']

const schema = (options: Partial<Options>) =>
  new EntitySchema<any>({ name: 'Task', columns: { id: { type: 'uuid', primary: true } }, ...options })
const Tag = schema({ name: 'Tag' })

const rejected: [title: string, options: Partial<Options>, says: RegExp][] = [
  [
    'a key that is a fraction',
    { columns: { id: { type: 'decimal', primary: true } } },
    /its key id is of type decimal, of which each database makes another text; use texts, uuids and integers/,
  ],
  [
    'a property with the name that a number as the key has on the wire',
    { columns: { id: { type: 'integer', primary: true }, _id: { type: 'text' } } },
    /its property _id has a name that the protocol uses itself/,
  ],
  [
    'a relation to a counted row without a foreign key',
    {
      columns: { id: { type: 'integer', primary: true, generated: 'increment' } },
      relations: { parent: { type: 'many-to-one', target: 'Task', createForeignKeyConstraints: false } },
    },
    /its relation parent leads to numbered rows, .* leave out createForeignKeyConstraints: false/,
  ],
  [
    'a relation by another number than the key',
    {
      columns: { id: { type: 'integer', primary: true, generated: 'increment' } },
      relations: {
        twin: { type: 'one-to-one', target: 'Task', joinColumn: true },
        other: { type: 'many-to-one', target: 'Task', joinColumn: { name: 'other', referencedColumnName: 'twin' } },
      },
    } as Partial<Options>,
    /leads to numbers that each database counts for itself/,
  ],
  [
    'a number that is counted, as a part of a key',
    { columns: { a: { type: 'text', primary: true }, b: { type: 'integer', primary: true, generated: 'increment' } } },
    /its key b is numbered by the database/,
  ],
  ...(['datetime', 'boolean', Boolean, 'decimal', 'blob'] as const).map((type): (typeof rejected)[number] => [
    `a part of a key that is ${typeof type === 'string' ? type : 'a Boolean'}`,
    { columns: { a: { type: 'text', primary: true }, b: { type, primary: true } } },
    /its key b is of type \w+, of which each database makes another text; use texts, uuids and integers/,
  ]),
  [
    'a part of a key that ignores case',
    { columns: { a: { type: 'text', primary: true }, b: { type: 'text', primary: true, collation: 'NOCASE' } } },
    /its key b has the collation NOCASE/,
  ],
  [
    'a key that ignores case',
    { columns: { id: { type: 'text', primary: true, collation: 'NOCASE' } } },
    /collation NOCASE; keys are compared byte by byte/,
  ],
  [
    'a many-to-many relation to an entity that is not synced',
    { relations: { tags: { type: 'many-to-many', target: 'Tag', joinTable: true } } },
    /relation tags leads to Tag, which is not synced. Enable sync on it too, or .*omit: \['tags'\]/,
  ],
  [
    'a foreign key that sets a default',
    { relations: { other: toTask({ name: 'otherId' }, 'DEFAULT') } },
    /its foreign key .* has SET DEFAULT/,
  ],
  [
    'a foreign key of several columns that does not lead to the key',
    {
      columns: { id: { type: 'text', primary: true }, a: { type: 'text' }, b: { type: 'text' } },
      uniques: [{ columns: ['a', 'b'] }],
      relations: { other: toTask([...leading('a'), ...leading('b')]) },
    },
    /its foreign key .* of several columns leads to others of Task than its key/,
  ],
  [
    'a foreign key of several columns, of which not all can become null',
    {
      columns: { a: { type: 'text', primary: true }, b: { type: 'text', primary: true }, otherA: { type: 'text' } },
      relations: { other: toTask([...leading('a'), ...leading('b')], 'SET NULL') },
    },
    /ON DELETE SET NULL, which makes all of these null, but not all may be/,
  ],
  [
    'a closure table of a key of several columns',
    {
      columns: { a: { type: 'text', primary: true }, b: { type: 'text', primary: true } },
      trees: [{ type: 'closure-table' }],
      relations: tree(),
    },
    /closure-table tree of keys of one column alone/,
  ],
  ['a nested set', { trees: [{ type: 'nested-set' }], relations: tree() }, /nested-set tree numbers all rows anew/],
  [
    'a property with a name of the protocol',
    { columns: { id: { type: 'text', primary: true }, _removed: { type: 'boolean' } } },
    /its property _removed has a name/,
  ],
  ['another property called id', { columns: { key: { type: 'text', primary: true }, id: { type: 'text' } } }, /its property id has a name/],
  ['a view', { type: 'view', expression: 'SELECT 1 AS id' }, /no entity|not an entity/],
]

function toTask(joinColumn: object, onDelete?: string) {
  return { type: 'many-to-one', target: 'Task', joinColumn, nullable: true, ...(onDelete && { onDelete }) } as never
}

function leading(to: string) {
  return [{ name: `other${to.toUpperCase()}`, referencedColumnName: to }]
}

function tree(): Options['relations'] {
  return {
    parent: { type: 'many-to-one', target: 'Task', treeParent: true },
    children: { type: 'one-to-many', target: 'Task', inverseSide: 'parent', treeChildren: true },
  } as Options['relations']
}

const open = (...entities: EntitySchema[]) => dataSourceOn('libsql', newFile(), { entities, synchronize: true })

describe('rejected, when the data source is initialised, is', () => {
  test.each(rejected)('%s', async (_, options, says) => {
    const Task = schema(options)
    enableSync(Task, '/tasks')
    const dataSource = open(Task, Tag)
    const error = await dataSource.initialize().catch(e => e)
    expect(error).toBeInstanceOf(SyncConfigurationError)
    expect(error).toMatchObject({ code: 'configuration', entity: 'Task', message: expect.stringMatching(says) })
    expect(dataSource.isInitialized).toBe(false)
  })

  test.each(['_sync_id', '_SYNC_stamp', '_lastchange'])('a column with a name of ours: %s', async name => {
    const Task = schema({ columns: { id: { type: 'uuid', primary: true }, taken: { type: 'text', name } } })
    enableSync(Task, '/tasks')
    await expect(open(Task).initialize()).rejects.toThrow(`Task cannot be synced: its column ${name} has a name that our own columns have`)
  })

  test.each(['sync_clock', 'sync_base_task'])('a table with a name of ours: %s', async tableName => {
    const Task = schema({ tableName })
    enableSync(Task, '/tasks')
    await expect(open(Task).initialize()).rejects.toThrow(/Task cannot be synced: its table sync_\w+ has a name of our own tables/)
  })

  test('not a many-to-many relation that is knowingly left out', async () => {
    const Task = schema({ relations: { tags: { type: 'many-to-many', target: 'Tag', joinTable: true } } })
    enableSync(Task, '/tasks', { omit: ['tags'] })
    await (await open(Task, Tag).initialize()).destroy()
  })

  test('a handler for the links of a relation that it does not own', async () => {
    const Task = schema({ relations: { tags: { type: 'many-to-many', target: 'Tag', joinTable: true } } })
    enableSync(Task, '/tasks', { omit: ['tags'], links: { lists: { onConflict: () => {} } } })
    await expect(open(Task, Tag).initialize()).rejects.toThrow(
      /Task cannot be synced: it has no many-to-many relation lists with @JoinTable/,
    )
  })

  test('an entity without a key, by TypeORM', async () => {
    const Task = schema({ columns: { name: { type: 'text' } } })
    enableSync(Task, '/tasks')
    await expect(open(Task).initialize()).rejects.toThrow(/primary column/)
  })

  test('a table in an attached database', async () => {
    const Task = schema({ database: `${newFile()}.attached` })
    enableSync(Task, '/tasks')
    await expect(open(Task).initialize()).rejects.toThrow(/its table .* is in another database/)
  })

  test('a table in another schema, where the database is not PostgreSQL', async () => {
    const Task = schema({ schema: 'other' })
    enableSync(Task, '/tasks')
    await expect(open(Task).initialize()).rejects.toThrow(/its table .* is in another database/)
  })

  test('a naming strategy that renames the column', async () => {
    const Task = schema({})
    enableSync(Task, '/tasks')
    Object.assign(Task.options.columns._lastChange!, { name: 'last_change' })
    await expect(open(Task).initialize()).rejects.toThrow(/last_change; let it keep a name/)
  })
})

describe('a scope is', () => {
  const columns: Options['columns'] = {
    id: { type: 'uuid', primary: true },
    ...{ due: { type: 'datetime', nullable: true }, tags: { type: 'simple-array' }, done: { type: Boolean } },
    upper: { type: 'text', transformer: { to: x => x, from: x => x } },
  }

  test.each([
    ['project', /Task cannot be synced: its scope project cannot be one: it has no such column or to-one relation/],
    ['place.room', /its scope place.room cannot be one: it has no such column/],
    ['children', /its scope children cannot be one: it has no such column or to-one relation/],
    ['due', /its scope due cannot be one: it is of type datetime; .* use a text, uuid or integer column/],
    ['tags', /it is of type simple-array/],
    ['done', /it is of type Boolean/],
    ['id', /its scope id cannot be one: it is the key, which is always one; leave it out/],
    ['upper', /it has a transformer/],
  ])('rejected: %s', async (scope, says) => {
    const relations = { ...tree() }
    const Task = schema({ columns: { ...columns }, relations } as Partial<Options>)
    enableSync(Task, '/tasks', { scopes: [scope] })
    const error = await open(Task)
      .initialize()
      .catch(e => e)
    expect(error).toBeInstanceOf(SyncConfigurationError)
    expect(error).toMatchObject({ entity: 'Task', message: expect.stringMatching(says) })
  })
})

describe('a url is', () => {
  test.each([
    '/tasks',
    '/api/tasks',
    'https://example.org/tasks',
    'http://localhost:8080/tasks?tenant=1',
    ['/a', 'https://b.example/tasks'],
  ])('%j', url => enableSync(schema({}), url))

  test.each([
    '',
    'tasks',
    './tasks',
    '//example.org/tasks',
    'ftp://example.org/tasks',
    'https://',
    '/tasks?x=1',
    '/a b',
    '/a#b',
    [],
    ['/tasks', 'tasks'],
    undefined,
    null,
    5,
  ])('not %j', url => {
    expect(() => enableSync(schema({}), url as string)).toThrow(SyncConfigurationError)
    expect(() => enableSync(schema({}), url as string)).toThrow(/^Task /)
  })
})

describe('a driver that is not supported is rejected before anything is opened:', () => {
  test.each<[string, object]>([
    ['expo', { driver: { openDatabaseAsync: async () => undefined }, database: 'x' }],
    ['capacitor', { driver: {}, database: 'x' }],
    ['cordova', { database: 'x', location: 'default', driver: {} }],
    ['react-native', { database: 'x', location: 'default', driver: {} }],
    ['nativescript', { database: 'x', driver: class {} }],
  ])('%s', async (type, options) => {
    const dataSource = withSync(new DataSource({ type, entities: [], ...options } as unknown as DataSourceOptions))
    const error = await dataSource.initialize().catch(e => e)
    expect(error).toBeInstanceOf(SyncConfigurationError)
    expect(error.message).toContain(`'${type}'`)
    expect(dataSource.isInitialized).toBe(false)
  })
})
