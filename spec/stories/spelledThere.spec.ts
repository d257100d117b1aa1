// Types that PostgreSQL alone parses and spells: an equal value in another spelling is no change, and one that it rejects is named.

import { describe, expect, test } from '@jest/globals'
import { EntitySchema, type EntitySchemaColumnOptions } from 'typeorm'
import { ConflictHandlerError, enableSync, journal, syncAll, ValueError } from 'typeorm-sync'
import { openOn, serve } from '../support/eachDatabase.js'
import { postgresUrl } from '../support/postgresServer.js'
import { unappliedOf } from '../support/unapplied.js'

interface Host {
  id: string
  name: string
  address: string | null
  open: string | null
  lease: unknown
  places: string[] | null
}

/** The same hosts, where addresses are addresses, and where they are texts. */
function hosts(types: 'own' | 'text') {
  const column = (type: EntitySchemaColumnOptions['type'], array = false) =>
    ({ type: types === 'own' ? type : array ? 'simple-json' : 'text', array: array && types === 'own', nullable: true }) as const
  const schema = new EntitySchema<Host>({
    ...{ name: 'Host', tableName: 'host' },
    columns: {
      id: { type: 'varchar', primary: true },
      name: { type: 'varchar', default: '' },
      address: column('inet'),
      open: column('time'),
      lease: column('interval'),
      places: column('inet', true),
    },
  })
  enableSync(schema, '/hosts')
  return schema
}

const describeServer = postgresUrl ? describe : describe.skip

describeServer('on a server', () => {
  test('each value that the database rejects is named, in a batch of rows', async () => {
    const { post } = await serve(await openOn('postgres', [hosts('own')]))
    const { status, json } = await post('/hosts', [
      { id: 'a', address: '2001:DB8:0::1', open: '9:05', places: ['10.0.0.1/32', null] },
      { id: 'b', address: '10.0.0.256', open: '25:00' },
      { id: 'c', address: '10.0.0.1', places: ['10.0.0.1', 'x'] },
      { id: 'd', open: 'now' },
    ])
    expect([status, json.errors.map((e: any) => [e.id, e.property, e.code])]).toEqual([
      422,
      [
        ['b', 'address', 'not-valid'],
        ['b', 'open', 'not-valid'],
        ['c', 'places', 'not-valid'],
        ['d', 'open', 'not-valid'],
      ],
    ])
    expect(json.errors[0].detail).toBe('It is not what the database accepts as inet (22P02).')
  })

  test('the same value in another spelling is stored in the database’s, and does not count as a change', async () => {
    const there = await openOn('postgres', [hosts('own')])
    const { post, url } = await serve(there)
    const first = await post('/hosts', [{ id: 'a', address: '2001:DB8:0::1', open: '9:05', places: ['10.0.0.1/32', null] }])
    expect([first.status, first.json.since]).toEqual([200, undefined]) // the client fetches what became of it
    const { updates } = (await (await fetch(`${url}/hosts`)).json()) as { updates: object[] }
    expect(updates).toMatchObject([{ address: '2001:db8::1', open: '09:05:00', places: ['10.0.0.1', null] }])
    const again = await post('/hosts', [{ id: 'a', address: '2001:db8:0:0::1', open: '09:05:00.0', places: ['10.0.0.1', null] }])
    expect([again.status, again.json.now]).toEqual([200, first.json.now])
  })
})

describeServer('whatever the database has set', () => {
  test('values are spelled in the same way, and the application’s transactions in its own', async () => {
    const there = await openOn('postgres', [hosts('own')])
    await there.query(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET intervalstyle TO iso_8601', current_database()); END $$`)
    await there.destroy()
    await there.initialize()
    const { post, url } = await serve(there)
    expect(await post('/hosts', [{ id: 'a', lease: '-1 day 02:00:00' }])).toMatchObject({ status: 200 })
    const { updates } = (await (await fetch(`${url}/hosts`)).json()) as { updates: object[] }
    expect(updates).toMatchObject([{ lease: '-1 days +02:00:00' }])
    expect(await there.query('SELECT CAST(lease AS text) AS lease FROM host')).toEqual([{ lease: 'P-1DT2H' }])
  })
})

describeServer('on a device', () => {
  async function world() {
    const there = await openOn('libsql', [hosts('text')])
    const { url } = await serve(there)
    const alice = await openOn('postgres', [hosts('own')], { server: url })
    return { there, alice }
  }

  test('what a server spells otherwise is no conflict, and merges', async () => {
    const { there, alice } = await world()
    await there.getRepository<Host>('Host').save({ id: 'a', address: '2001:DB8:0::1', open: '9:05', places: ['10.0.0.1/32'] })
    await syncAll(alice)
    await alice.getRepository<Host>('Host').update('a', { address: '10.0.0.1' })
    await there.getRepository<Host>('Host').update('a', { name: 'remote', open: '09:05:00.000' })
    expect(await syncAll(alice)).toMatchObject({ conflicts: 0, unapplied: 0, merged: 1 })
    const row = { name: 'remote', address: '10.0.0.1', open: '09:05:00', places: ['10.0.0.1'] }
    expect(await alice.getRepository<Host>('Host').findOneByOrFail({ id: 'a' })).toMatchObject(row)
    expect(await there.getRepository<Host>('Host').findOneByOrFail({ id: 'a' })).toMatchObject({ name: 'remote', address: '10.0.0.1' })
    expect(await syncAll(alice)).toMatchObject({ conflicts: 0, merged: 0, pushed: 0 })
  })

  test('a row whose value the database rejects is deferred, and the rows beside it are stored', async () => {
    const { there, alice } = await world()
    await there.getRepository<Host>('Host').save([
      { id: 'a', address: '10.0.0.1' },
      { id: 'b', address: 'nowhere' },
      { id: 'c', address: '10.0.0.3' },
    ])
    expect(await syncAll(alice)).toMatchObject({ pulled: 2, unapplied: 1 })
    const waits = journal<Host>(alice.getRepository<Host>('Host'))
    expect(await unappliedOf(waits)).toMatchObject([{ id: 'b', reason: 'not-valid', remote: { address: 'nowhere' } }])
    const rejected = waits.resolve('b', { address: 'here' })
    await expect(rejected).rejects.toThrow(ValueError)
    await expect(rejected).rejects.toMatchObject({ property: 'address' })
    await there.getRepository<Host>('Host').update('b', { address: '10.0.0.2/32' })
    expect(await syncAll(alice)).toMatchObject({ unapplied: 0 })
    expect(await alice.getRepository<Host>('Host').findOneByOrFail({ id: 'b' })).toMatchObject({ address: '10.0.0.2' })
  })

  test('a handler that assigns the server’s value in another spelling leaves nothing to push; a value that the database rejects is its mistake', async () => {
    const { there, alice } = await world()
    await there.getRepository<Host>('Host').save({ id: 'a', address: '10.0.0.1' })
    await syncAll(alice)
    await alice.getRepository<Host>('Host').update('a', { address: '10.0.0.2' })
    await there.getRepository<Host>('Host').update('a', { address: '10.0.0.3' })
    const assign = (address: string) =>
      syncAll(alice, conflicts => {
        for (const { local } of conflicts) (local as Host).address = address
      })
    await expect(assign('nowhere')).rejects.toThrow(ConflictHandlerError)
    expect(await assign('10.0.0.3/32')).toMatchObject({ conflicts: 1, pushed: 0, unapplied: 0 })
    expect(await alice.getRepository<Host>('Host').findOneByOrFail({ id: 'a' })).toMatchObject({ address: '10.0.0.3' })
  })
})

if (!postgresUrl) test.skip('left out: no PostgreSQL', () => {})
