import { describe, expect, test } from '@jest/globals'
import {
  ChildEntity,
  Column,
  DataSource,
  type DataSourceOptions,
  Entity,
  EntitySchema,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  TableInheritance,
} from 'typeorm'
import { EnableSync, enableSync } from '../../src/entity/enableSync.js'
import { changeLogOf, syncedEntities } from '../../src/entity/registry.js'
import { withSync } from '../../src/entity/withSync.js'
import { SyncConfigurationError } from '../../src/errors.js'
import { dataSourceOn, newFile } from './openDataSource.js'

async function open(entities: NonNullable<DataSourceOptions['entities']>): Promise<DataSource> {
  return dataSourceOn('libsql', newFile(), { entities, synchronize: true }).initialize()
}

/** The columns called _lastChange and the indexes on it, as the database has them. */
async function schemaOf(dataSource: DataSource, table: string) {
  const columns = await dataSource.query(`SELECT count(*) AS n FROM pragma_table_info('${table}') WHERE name = '_lastChange'`)
  const indexes = await dataSource.query(
    `SELECT sql FROM sqlite_master WHERE tbl_name = '${table}' AND type = 'index' AND sql LIKE '%_lastChange%'`,
  )
  return [columns[0].n, ...indexes.map((row: any) => /\((.*)\)/.exec(row.sql)?.[1]?.replaceAll('"', '').replaceAll(' ', ''))]
}

@EnableSync('/above')
@Entity()
class Above {
  @PrimaryGeneratedColumn('uuid') id!: string
}

@Entity()
@EnableSync(['/below', 'https://example.org/below'], { dates: 'number' })
class Below {
  @PrimaryColumn() key!: string
}

abstract class Keyed {
  @PrimaryGeneratedColumn('uuid') id!: string
}

@Entity()
@EnableSync('/inherited')
class Inherited extends Keyed {
  @Column({ default: '' }) name!: string
}

@EnableSync('/declared')
@Entity()
class Declared extends Keyed {
  @Column('bigint', { nullable: true }) _lastChange?: number
}

@Entity()
class Base extends Keyed {}
@Entity()
class Sub extends Base {}
enableSync(Sub, '/sub')
enableSync(Base, '/base')
enableSync(Base, '/base')

@Entity()
@TableInheritance({ column: { name: 'kind', type: 'varchar' } })
@EnableSync('/contents')
class Content extends Keyed {}
@ChildEntity()
class Photo extends Content {
  @Column({ nullable: true }) size?: number
}

class Names {
  @PrimaryColumn() short!: string
}
@Entity()
@EnableSync('/embedded')
class Embedded {
  @Column(() => Names) names!: Names
}

const Schema = new EntitySchema<{ code: string }>({ name: 'Schema', columns: { code: { type: 'text', primary: true } } })
enableSync(Schema, '/schemas')
enableSync(Schema, '/schemas')

describe('an entity gets the column and its index', () => {
  test.each<[string, NonNullable<DataSourceOptions['entities']>, string, string]>([
    ['decorated above @Entity', [Above], 'above', 'id'],
    ['decorated below @Entity', [Below], 'below', 'key'],
    ['whose key is inherited', [Inherited], 'inherited', 'id'],
    ['that declares the column itself', [Declared], 'declared', 'id'],
    ['that others extend', [Base, Sub], 'base', 'id'],
    ['that extends another one', [Base, Sub], 'sub', 'id'],
    ['whose children share its table', [Content, Photo], 'content', 'id'],
    ['whose key is embedded', [Embedded], 'embedded', 'namesShort'],
    ['that is a schema', [Schema], 'schema', 'code'],
  ])('%s', async (_, entities, table, key) => {
    const dataSource = await open(entities)
    expect(await schemaOf(dataSource, table)).toEqual([1, `_lastChange,${key}`])
    const { upQueries } = await dataSource.driver.createSchemaBuilder().log()
    expect(upQueries).toEqual([])
    await dataSource.destroy()
  })
})

test('children of one table are captured with it', async () => {
  const dataSource = await open([Content, Photo])
  const { id } = await dataSource.getRepository(Photo).save({ size: 3 })
  expect(await dataSource.query('SELECT id, "_lastChange" > 0 AS stamped FROM content')).toEqual([{ id, stamped: 1 }])
  expect(await dataSource.getRepository(Content).find()).toEqual([{ id, size: 3 }])
  await dataSource.destroy()
})

test('a stamp is a number, whatever the driver makes of a bigint', async () => {
  const dataSource = await open([Above])
  const transformer: any = dataSource.getMetadata(Above).findColumnWithPropertyName('_lastChange')!.transformer
  expect([transformer.from('1279888110373'), transformer.from(7), transformer.from(null)]).toEqual([1279888110373, 7, null])
  await dataSource.destroy()
})

test('what was enabled last counts, and each data source has its own', async () => {
  const [first, second] = [await open([Above, Below]), await open([Below])]
  expect(syncedEntities(first).map(({ metadata, urls }) => [metadata.tableName, urls])).toEqual([
    ['above', ['/above']],
    ['below', ['/below', 'https://example.org/below']],
  ])
  expect(syncedEntities(second).map(({ options }) => options)).toEqual([{ dates: 'number' }])
  enableSync(Below, '/elsewhere')
  expect(syncedEntities(second).map(({ urls }) => urls)).toEqual([['/elsewhere']])
  await Promise.all([first.destroy(), second.destroy()])
})

test('two schemas of one name in one process are two entities', async () => {
  const Namesake = new EntitySchema<{ code: string }>({ name: 'Schema', columns: { code: { type: 'text', primary: true } } })
  enableSync(Namesake, '/namesakes')
  const [first, second] = [await open([Schema]), await open([Namesake])]
  expect([first, second].map(d => syncedEntities(d).flatMap(({ urls }) => urls))).toEqual([['/schemas'], ['/namesakes']])
  await Promise.all([first.destroy(), second.destroy()])
})

test('a schema and a class of one name in one process are two entities', async () => {
  @EnableSync('/classes')
  @Entity()
  class Twin {
    @PrimaryColumn() code!: string
  }
  const schema = new EntitySchema<{ code: string }>({ name: 'Twin', columns: { code: { type: 'text', primary: true } } })
  enableSync(schema, '/schemas')
  const [first, second] = [await open([Twin]), await open([schema])]
  expect([first, second].map(d => syncedEntities(d).flatMap(({ urls }) => urls))).toEqual([['/classes'], ['/schemas']])
  expect([first, second].map(d => changeLogOf(d).collections.map(c => c.name))).toEqual([['twin'], ['twin']])
  await Promise.all([first.destroy(), second.destroy()])
})

test('a schema of a class is its entity', async () => {
  class Plain {
    code!: string
  }
  const schema = new EntitySchema<Plain>({ name: 'Plain', target: Plain, columns: { code: { type: 'text', primary: true } } })
  enableSync(schema, '/plains')
  const dataSource = await open([schema])
  expect(syncedEntities(dataSource).flatMap(({ urls }) => urls)).toEqual(['/plains'])
  await dataSource.destroy()
})

test('enabled after the data source was initialised is too late, and an error', async () => {
  @Entity()
  class Late extends Keyed {}
  const dataSource = await open([Late])
  enableSync(Late, '/late')
  expect(() => syncedEntities(dataSource)).toThrow(SyncConfigurationError)
  expect(() => syncedEntities(dataSource)).toThrow(/Late after the data source was initialised/)
  // the next start knows of it
  await dataSource.destroy()
  await dataSource.initialize()
  expect(changeLogOf(dataSource).collections.map(c => c.name)).toEqual(['late'])
  await dataSource.destroy()
})

describe('withSync', () => {
  const options: DataSourceOptions = { type: 'sqljs', entities: [Above], synchronize: true }

  test('gives back the data source that it was given, and keeps the form of its methods', async () => {
    const plain = new DataSource(options)
    const methods = ['initialize', 'synchronize', 'runMigrations', 'undoLastMigration', 'dropDatabase'] as const
    const lengths = methods.map(name => plain[name].length)
    const keys = Object.keys(plain)
    const dataSource = withSync(plain, { server: 'https://example.org' })
    expect(dataSource).toBe(plain)
    expect(methods.map(name => dataSource[name].length)).toEqual(lengths)
    expect(Object.keys(dataSource)).toEqual(keys)
    expect(new DataSource(options).initialize).toBe(DataSource.prototype.initialize)
    expect(await dataSource.initialize()).toBe(dataSource)
    expect(await dataSource.synchronize()).toBe(undefined)
    expect(await dataSource.runMigrations()).toEqual([])
    await expect(dataSource.initialize()).rejects.toThrow('already connected')
    expect(changeLogOf(dataSource).collections.map(c => c.entity)).toEqual(['Above'])
    await dataSource.destroy()
    await expect(dataSource.synchronize()).rejects.toThrow('not yet established')
  })

  test('is called once, before the data source is initialised', async () => {
    const dataSource = withSync(new DataSource(options))
    expect(() => withSync(dataSource)).toThrow(SyncConfigurationError)
    const initialised = await new DataSource(options).initialize()
    expect(() => withSync(initialised)).toThrow(/call withSync before/)
    expect(() => withSync(new DataSource(options), { server: 'example.org' })).toThrow(/no absolute http/)
    await initialised.destroy()
  })

  test('is what a change log asks for', async () => {
    const dataSource = await new DataSource(options).initialize()
    expect(() => changeLogOf(dataSource)).toThrow(/withSync\(new DataSource/)
    await dataSource.destroy()
    expect(() => changeLogOf(withSync(new DataSource(options)))).toThrow(/await dataSource.initialize\(\)/)
  })

  test('on a data source without synced entities does no harm', async () => {
    const dataSource = await open([])
    expect(changeLogOf(dataSource).collections).toEqual([])
    await dataSource.destroy()
  })
})
