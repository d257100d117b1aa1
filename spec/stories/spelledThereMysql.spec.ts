// Types that MariaDB alone parses and spells, and what the session's sql_mode would let pass.

import { expect, test } from '@jest/globals'
import { type DataSourceOptions, EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import { databaseOn, openIn, serve } from '../support/eachDatabase.js'
import { mysqlUrl } from '../support/mysqlServer.js'

interface Host {
  id: string
  name: string
  address: string | null
  place: string | null
}
const Host = new EntitySchema<Host>({
  ...{ name: 'Host', tableName: 'host' },
  columns: {
    id: { type: 'varchar', length: 100, primary: true },
    name: { type: 'varchar', length: 5, default: '' },
    address: { type: 'inet6' as never, nullable: true },
    place: { type: 'point', nullable: true },
  },
})
enableSync(Host, '/hosts')

const open = async () => openIn({ ...(await databaseOn('mysql')), poolSize: 1 } as DataSourceOptions, [Host])
const testOnServer = mysqlUrl ? test : test.skip

testOnServer('each value that the database does not take is named, and an equal one in another spelling is no change', async () => {
  const there = await open()
  const { post, url } = await serve(there)
  const rejected = await post('/hosts', [
    { id: 'a', address: '2001:DB8:0::1', place: 'point( 1e0  2.50 )' },
    { id: 'b', address: '10.0.0.256', place: 'POINT(1' },
    { id: 'c', place: 'LINESTRING(0 0,1 1)' },
  ])
  expect([rejected.status, rejected.json.errors.map((e: any) => [e.id, e.property, e.code])]).toEqual([
    422,
    [
      ['b', 'address', 'not-valid'],
      ['b', 'place', 'not-valid'],
      ['c', 'place', 'not-valid'],
    ],
  ])
  const first = await post('/hosts', [{ id: 'a', address: '2001:DB8:0::1', place: 'point( 1e0  2.50 )' }])
  const { updates } = (await (await fetch(`${url}/hosts`)).json()) as { updates: object[] }
  expect(updates).toMatchObject([{ address: '2001:db8::1', place: 'POINT(1 2.5)' }])
  const again = await post('/hosts', [{ id: 'a', address: '2001:db8:0:0::1', place: 'POINT(1.0 2.5)' }])
  expect([again.status, again.json.now]).toEqual([200, first.json.now])
})

testOnServer('a session that is not strict loses nothing in silence, and is as lax as before when the step is done', async () => {
  const there = await open()
  await there.query('ALTER TABLE host ADD COLUMN owner VARCHAR(10) NOT NULL')
  await there.query("SET SESSION sql_mode = 'PAD_CHAR_TO_FULL_LENGTH'")
  const { post } = await serve(there)
  const answer = await post('/hosts', [{ id: 'a', name: 'x' }])
  expect([answer.status, answer.json.errors]).toMatchObject([422, [{ id: 'a', code: 'not-valid' }]])
  expect(await there.query('SELECT @@sql_mode AS mode')).toEqual([{ mode: 'PAD_CHAR_TO_FULL_LENGTH' }])
  // an application's own write is not stricter for our triggers
  await there.query("INSERT INTO host (id, name) VALUES ('b', 'too long')")
  expect(await there.query("SELECT name, owner FROM host WHERE id = 'b'")).toEqual([{ name: 'too l', owner: '' }])
})
