import 'reflect-metadata'
import { expect, test } from '@jest/globals'
import { EntitySchema } from 'typeorm'
import { enableSync, journal, preferLocalConflictHandler, syncAll } from 'typeorm-sync'
import { device, startServer, Wire, withoutFeed } from '../stories/devices.js'
import { unappliedOf } from '../support/unapplied.js'
import { client, closing, drop, edit, entities, Folder, forgetRemovals, Note, put, titles } from './world.js'

/** A server that is itself a client of the one above it. */
async function relay({ isOld = false } = {}) {
  const above = await startServer(entities, { before: isOld ? [withoutFeed] : [] })
  closing(() => above.stop())
  const wire = new Wire()
  // a server of 2011 names no collection, and need not send what a removal cascaded to
  if (isOld)
    wire.after = async ({ method }, _, response) => {
      if (method !== 'GET' || response.status !== 200) return
      const { collection, ...answer } = (await response.json()) as { collection?: string }
      return new Response(JSON.stringify(answer))
    }
  const started = await startServer(entities, { options: { server: above.url, retries: 0, fetch: wire.fetch } })
  closing(() => started.stop())
  const post = async (body: unknown) => {
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(`${started.url}/notes`, { method: 'POST', headers, body: JSON.stringify(body) })
    expect(response.status).toBe(200)
  }
  return { above: above.dataSource, here: started.dataSource, url: started.url, notes: started.dataSource.getRepository(Note), post }
}

test('what a device pushes to a relay merges with what the server above changed', async () => {
  const { above, here, notes, post } = await relay()
  await put(above, 'a', 'zero')
  await syncAll(here)
  await post([{ id: 'a', title: 'posted', _partial: true }])
  await above.query(`UPDATE note SET body = 'above'`)
  expect(await syncAll(notes)).toMatchObject({ merged: 1, unapplied: 0 })
  expect(await above.query('SELECT title, body FROM note')).toEqual([{ title: 'posted', body: 'above' }])
})

test('a removal that waits for a decision is not forgotten with those that everybody has heard of', async () => {
  const { above, here, notes } = await relay()
  for (const id of ['a', 'b']) await put(above, id, 'zero')
  await syncAll(here)
  await drop(here, 'a')
  await edit(above, 'a', 'above')
  await edit(here, 'b', 'here')
  expect(await syncAll(notes)).toMatchObject({ unapplied: 1, pushed: 1 })
  await forgetRemovals(here)
  expect(await syncAll(notes, preferLocalConflictHandler)).toMatchObject({ conflicts: 1 })
  await syncAll(notes)
  expect(await titles(above)).toEqual({ b: 'here' })
})

test('what one server changed merges with what another one did', async () => {
  const text = { type: 'varchar' } as const
  const slip = () =>
    new EntitySchema<{ id: string; title: string; body: string }>({
      ...{ name: 'Slip', tableName: 'slip' },
      columns: { id: { ...text, primary: true }, title: text, body: text },
    })
  const [there, local] = [slip(), slip()]
  enableSync(there, '/slips')
  const servers = await Promise.all([1, 2].map(() => startServer([there])))
  for (const each of servers) {
    closing(() => each.stop())
    await each.dataSource.query(`INSERT INTO slip (id, title, body) VALUES ('a', 'zero', 'zero')`)
  }
  enableSync(
    local,
    servers.map(({ url }) => `${url}/slips`),
  )
  const alice = await device([local], servers[0]?.url as string)
  closing(() => alice.destroy())
  const slips = alice.getRepository(local)
  for (let i = 0; i < 2; i++) await syncAll(slips)
  await servers[0]?.dataSource.query(`UPDATE slip SET title = 'one'`)
  await servers[1]?.dataSource.query(`UPDATE slip SET body = 'two'`)
  expect(await syncAll(slips)).toMatchObject({ pulled: 1, merged: 1, unapplied: 0 })
  await syncAll(slips)
  for (const { manager } of [alice, ...servers.map(s => s.dataSource)])
    expect(await manager.query('SELECT title, body FROM slip')).toEqual([{ title: 'one', body: 'two' }])
})

test.each([
  ['with the first answer', false],
  ['beside a row that is here', true],
])('a row that came from one server, %s, and was removed here is not brought back by the copy of another', async (_, isLater) => {
  const text = { type: 'varchar' } as const
  const slip = () =>
    new EntitySchema<{ id: string; title: string }>({
      ...{ name: 'Slip', tableName: 'slip' },
      columns: { id: { ...text, primary: true }, title: text },
    })
  const [there, local] = [slip(), slip()]
  enableSync(there, '/slips')
  const servers = await Promise.all([1, 2].map(() => startServer([there])))
  for (const each of servers) closing(() => each.stop())
  const add = (id: string) => Promise.all(servers.map(each => each.dataSource.query(`INSERT INTO slip (id, title) VALUES ('${id}', 'a')`)))
  const urls = servers.map(({ url }) => `${url}/slips`) as [string, string]
  enableSync(local, urls)
  const alice = await device([local], servers[0]?.url as string)
  closing(() => alice.destroy())
  const slips = alice.getRepository(local)
  if (isLater) {
    await add('b')
    await syncAll(slips)
    await syncAll(slips)
  }
  await add('a')
  await syncAll(slips, undefined, { url: urls[0] })
  expect(await slips.countBy({ id: 'a' })).toBe(1)
  await slips.delete('a')
  await syncAll(slips, undefined, { url: urls[1] })
  expect(await slips.countBy({ id: 'a' })).toBe(0)
  expect(await unappliedOf(journal(slips))).toMatchObject([{ id: 'a', url: urls[1], local: null, reason: 'contested' }])
})

test.each([true, false])(
  'what went with a folder of the server above, be it of 2011 (%p) or not, is told to the devices below',
  async isOld => {
    const { above, here, url } = await relay({ isOld })
    await above.query(`INSERT INTO folder (id, name) VALUES ('f', 'f')`)
    await put(above, 'a', 'a', { folderId: 'f' })
    await syncAll(here)
    const below = await client(url)
    await syncAll(below.dataSource)
    await above.query('DELETE FROM folder')
    await syncAll(here.getRepository(Folder))
    for (let i = 0; i < 2; i++) await syncAll(here)
    for (let i = 0; i < 2; i++) await syncAll(below.dataSource)
    expect(await titles(below.dataSource)).toEqual({})
    expect(await here.query('SELECT id FROM sync_tombstone ORDER BY id')).toEqual([{ id: 'a' }, { id: 'f' }])
  },
)
