// Databases that share numbered rows before they sync, as where devices began with a copy of the server's.

import { describe, expect, test } from '@jest/globals'
import { DataSource, type DataSourceOptions, EntitySchema, type EntitySchemaOptions } from 'typeorm'
import { type EnableSyncOptions, enableSync, hasLocalChanges, journal, syncAll } from 'typeorm-sync'
import { databaseOn, openIn, openOn, SERVERS, serve } from '../support/eachDatabase.js'

const id = { type: 'int', primary: true, generated: 'increment' } as const
const name = { type: 'varchar', length: 50 } as const
const schemas = (): EntitySchemaOptions<any>[] => [
  { name: 'Genre', columns: { id, name } },
  {
    name: 'Book',
    columns: { id, name },
    relations: {
      genre: { type: 'many-to-one', target: 'Genre', onDelete: 'CASCADE' },
      related: { type: 'many-to-many', target: 'Genre', joinTable: { name: 'book_related' } },
    },
  },
]
const plain = () => schemas().map(options => new EntitySchema(options))
function synced(options: EnableSyncOptions) {
  const all = schemas().map(schema => new EntitySchema(schema))
  for (const [i, url] of ['/genres', '/books'].entries()) enableSync(all[i] as EntitySchema, url, options)
  return all
}
const all = synced({ sameNumbers: true })
const some = synced({ sameNumbers: 2 })

/** A database from before sync: each book is named after its number, so that they are known again. */
async function filled(kind: (typeof SERVERS)[number], names: readonly string[]) {
  const options = await databaseOn(kind)
  const before = await new DataSource({ ...options, entities: plain(), synchronize: true } as DataSourceOptions).initialize()
  await before.getRepository('Genre').save([{ name: 'poems' }, { name: 'plays' }])
  const [poems, plays] = await before.getRepository('Genre').find({ order: { id: 'ASC' } })
  for (const each of names) await before.getRepository('Book').save({ name: each, genre: plays, related: [poems, plays] })
  await before.destroy()
  return options
}

const shown = async (dataSource: DataSource) =>
  (await dataSource.getRepository('Book').find({ relations: { genre: true, related: true }, order: { name: 'ASC' } })).map(
    ({ id: number, name: of, genre, related }) =>
      `${number} ${of} ${genre.name} ${related
        .map((r: { name: string }) => r.name)
        .sort()
        .join('+')}`,
  )

describe.each(SERVERS)('the same numbers (%s)', kind => {
  test('rows that both have are the same rows, with their relations and links', async () => {
    const server = await openIn(await filled(kind, ['one', 'two']), all)
    const { url } = await serve(server)
    const device = await openIn(await filled('libsql', ['one', 'two']), all, { server: url })
    await device.getRepository('Book').save({ name: 'three', genre: { id: 1 } })
    const report = await syncAll(device)
    const expected = ['1 one plays plays+poems', '3 three poems ', '2 two plays plays+poems']
    for (const who of [server, device]) expect(await shown(who)).toEqual(expected)
    expect(report.conflicts).toBe(0)
    expect(await server.getRepository('Genre').count()).toBe(2)
    // who begins with nothing has the same rows, and edits of them meet
    const other = await openOn('libsql', all, { server: url })
    await syncAll(other)
    await other.getRepository('Book').update({ name: 'two' }, { name: 'second' })
    await syncAll(other)
    await syncAll(device)
    expect(await shown(device)).toEqual([expected[0], '2 second plays plays+poems', expected[1]])
    expect(await hasLocalChanges(device)).toBe(false)
  })

  test('contents that differ are conflicts', async () => {
    const server = await openIn(await filled(kind, ['one', 'of the server']), all)
    const { url } = await serve(server)
    const device = await openIn(await filled('libsql', ['one', 'of the device']), all, { server: url })
    await syncAll(device)
    const conflicts = await journal(device.getRepository('Book')).conflicts()
    expect(conflicts).toMatchObject([
      { id: '2', local: { name: 'of the device' }, remote: { name: 'of the server' }, properties: ['name'] },
    ])
  })

  test('rows above the number that is given are told apart', async () => {
    const server = await openIn(await filled(kind, ['one', 'two', 'of the server']), some)
    const { url } = await serve(server)
    const device = await openIn(await filled('libsql', ['one', 'two', 'of the device']), some, { server: url })
    const report = await syncAll(device)
    const names = async (who: DataSource) => (await who.getRepository('Book').find()).map(book => book.name).sort()
    for (const who of [server, device]) expect(await names(who)).toEqual(['of the device', 'of the server', 'one', 'two'])
    expect(report.conflicts).toBe(0)
  })

  test('a database that is opened again, or that synced before, keeps its identities', async () => {
    const options = await filled(kind, ['one'])
    const apart = await openIn(options, synced({}))
    const identities = async (who: DataSource) =>
      (await who.query(`SELECT _sync_identity FROM book ORDER BY id`)).map((row: any) => row._sync_identity)
    const before = await identities(apart)
    expect(before[0]).toHaveLength(36)
    await apart.destroy()
    const again = await openIn(options, all)
    expect(await identities(again)).toEqual(before)
    const shared = await openIn(await filled(kind, ['one']), all)
    await shared.getRepository('Book').save({ name: 'two', genre: { id: 1 } })
    const [one, two] = await identities(shared)
    expect([one, two.length]).toEqual(['1', 36])
  })
})

test('only rows that are numbered have numbers', async () => {
  const schema = new EntitySchema({ name: 'NoNumber', columns: { id: { type: 'varchar', primary: true } } })
  enableSync(schema, '/none', { sameNumbers: true })
  await expect(openOn('libsql', [schema])).rejects.toThrow(/NoNumber .*sameNumbers/)
  const bad = new EntitySchema({ name: 'BadNumber', columns: { id } })
  enableSync(bad, '/bad', { sameNumbers: -1 })
  await expect(openOn('libsql', [bad])).rejects.toThrow(/BadNumber .*sameNumbers is -1/)
})
