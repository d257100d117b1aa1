// A value of the server's that this device's column cannot hold: the row is deferred, and the journal ends that.

import { expect, test } from '@jest/globals'
import { EntitySchema } from 'typeorm'
import { enableSync, journal, syncAll, ValueError } from 'typeorm-sync'
import { openOn, SERVERS, serve } from '../support/eachDatabase.js'

interface Visit {
  id: string
  note: string
  day: string | null
}

function visits(type: 'date' | 'text') {
  const schema = new EntitySchema<Visit>({
    ...{ name: 'Visit', tableName: 'visit' },
    columns: { id: { type: 'varchar', primary: true }, note: { type: 'varchar', default: '' }, day: { type, nullable: true } },
  })
  enableSync(schema, '/visits')
  return schema
}

/** A server that stores any text as a day, and a device that does not. */
async function world(kind: (typeof SERVERS)[number]) {
  const there = await openOn('libsql', [visits('text')])
  const { url } = await serve(there)
  const alice = await openOn(kind, [visits('date')], { server: url })
  const [remote, local] = [there.getRepository<Visit>('Visit'), alice.getRepository<Visit>('Visit')]
  return { alice, remote, local, deferred: journal<Visit>(local) }
}

test.each(SERVERS)('a row whose value this device cannot hold is made here with another one, and reaches the server (%s)', async kind => {
  const { alice, remote, local, deferred } = await world(kind)
  await remote.save({ id: 'a', note: 'there', day: 'some day' })
  await syncAll(alice)
  expect(await deferred.deferred()).toMatchObject([{ id: 'a', reason: 'not-valid' }])
  await expect(deferred.resolve('a', { day: 'no day' } as Visit)).rejects.toThrow(ValueError)
  await deferred.resolve('a', { note: 'there', day: '2026-11-29' })
  expect(await syncAll(alice)).toMatchObject({ pushed: 1, unapplied: 0 })
  const row = { note: 'there', day: '2026-11-29' }
  expect(await local.findOneByOrFail({ id: 'a' })).toMatchObject(row)
  expect(await remote.findOneByOrFail({ id: 'a' })).toMatchObject(row)
  expect(await syncAll(alice)).toMatchObject({ pushed: 0, pulled: 0, unapplied: 0 })
})

test.each(SERVERS)('a decision for what both had before, while this device had edited it, reaches the server too (%s)', async kind => {
  const { alice, remote, local, deferred } = await world(kind)
  await remote.save({ id: 'a', note: 'first', day: '2026-01-01' })
  await syncAll(alice)
  await local.update('a', { day: '2026-02-02' })
  await remote.update('a', { day: 'some day' })
  await syncAll(alice)
  await deferred.resolve('a', { day: '2026-01-01' })
  expect(await syncAll(alice)).toMatchObject({ pushed: 1, unapplied: 0 })
  for (const each of [local, remote]) expect(await each.findOneByOrFail({ id: 'a' })).toMatchObject({ note: 'first', day: '2026-01-01' })
})
