import 'reflect-metadata'
import { expect, test } from '@jest/globals'
import { InvalidAnswerError, journal, type SyncProgress, syncAll } from 'typeorm-sync'
import { renewHistory } from 'typeorm-sync/server-koa'
import { testOnSqlite } from '../stories/devices.js'
import { unappliedOf } from '../support/unapplied.js'
import { Cut, client, drop, edit, forgetRemovals, nowOf, put, server, titles, twoWindows, unseen } from './world.js'

const get = async (url: string, query: string, headers: Record<string, string> = {}) => {
  const response = await fetch(`${url}/notes?${query}`, { headers })
  return {
    status: response.status,
    etag: response.headers.get('etag') ?? '',
    ...(response.status === 200 && ((await response.json()) as object)),
  }
}
const post = (url: string, query: string, body: unknown) =>
  fetch(`${url}/notes?${query}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })

test('what is on the second page arrives, though the connection broke after the first', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['a', 'b', 'c']) await put(there, id)
  const alice = await client(url, { pageSize: 1 })
  alice.wire.before = (_, number) => {
    if (number === 2) throw new Cut()
  }
  await expect(syncAll(alice.notes)).rejects.toMatchObject({ name: 'NetworkError' })
  alice.wire.mend()
  await syncAll(alice.notes)
  expect(await titles(alice.dataSource)).toEqual({ a: 'a', b: 'b', c: 'c' })
})

testOnSqlite('a page that was asked for ahead does not count where another window has stored something since', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['a', 'b', 'c']) await put(there, id)
  const [alice, other] = await twoWindows(url, { pageSize: 1 })
  const { databaseConnection } = other.dataSource.driver as unknown as {
    databaseConnection: { prepare(sql: string): { run(values: unknown[]): void } }
  }
  let isFirst = true
  // the page is stored, and the next one on its way: as if the other window had stored a part of a newer answer to the same question
  const onProgress = ({ entities: synced }: SyncProgress) => {
    if (!synced.includes('Note')) return
    if (isFirst) databaseConnection.prepare('UPDATE sync_server SET "reads" = "reads" + 1').run([])
    isFirst = false
  }
  await syncAll(alice.notes, undefined, { onProgress })
  const pages = alice.wire.requests.map(r => new URL(r.url).searchParams.get('after'))
  expect(pages.map(page => pages.indexOf(page))).toEqual([0, 1, 1, 3])
  expect(await titles(alice.dataSource)).toEqual({ a: 'a', b: 'b', c: 'c' })
})

test('a server that has come less far than the client heard has lost its history, and says so', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a')
  const now = await nowOf(there)
  expect(await get(url, `since=${now}&min=${now}`)).not.toHaveProperty('reset')
  // no clock says that yet
  expect(await get(url, `since=${Date.now() + 3_600_000}`)).toMatchObject({ reset: 'collection-changed', updates: [{ id: 'a' }] })
  expect(await get(url, `since=${now + 1}&min=${now}`)).toMatchObject({ reset: 'collection-changed', updates: [{ id: 'a' }] })
  expect(await get(url, `since=${now}&min=${now + 1}`)).toMatchObject({ reset: 'collection-changed', updates: [{ id: 'a' }] })
})

test('a note that moved between two pages is not lost where the second comes from an older state', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a', 'old')
  const [before] = await there.query(`SELECT "_lastChange" AS stamp FROM note WHERE id = 'a'`)
  await put(there, 'b')
  const now = await nowOf(there)
  await edit(there, 'a', 'new')
  const alice = await client(url, { pageSize: 1 })
  alice.wire.before = async (_, number) => {
    // a backup from before the edit is restored, without a new history id
    if (number === 2)
      await unseen(
        there,
        `UPDATE note SET title = 'old', "_lastChange" = ${before.stamp} WHERE id = 'a'`,
        `UPDATE sync_clock SET now = ${now}`,
      )
  }
  await syncAll(alice.notes)
  expect(await titles(alice.dataSource)).toEqual({ a: 'old', b: 'b' })
})

test('a note that is removed while the first pages are read does not stay', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['a', 'b', 'c']) await put(there, id)
  const alice = await client(url, { pageSize: 1 })
  alice.wire.before = async (_, number) => {
    if (number === 2) await drop(there, 'a')
  }
  await syncAll(alice.notes)
  await syncAll(alice.notes)
  expect(await titles(alice.dataSource)).toEqual({ b: 'b', c: 'c' })
})

test('nor where its removal is forgotten while the pages are turned', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['a', 'b', 'c']) await put(there, id)
  const alice = await client(url, { pageSize: 1 })
  alice.wire.before = async (_, number) => {
    if (number !== 2) return
    await drop(there, 'a')
    await put(there, 'd')
    await forgetRemovals(there)
  }
  await syncAll(alice.notes)
  await syncAll(alice.notes)
  expect(await titles(alice.dataSource)).toEqual({ b: 'b', c: 'c', d: 'd' })
})

test('nor where the full answer that showed it broke off, and begins anew', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['a', 'b', 'c']) await put(there, id)
  const alice = await client(url, { pageSize: 1 })
  await syncAll(alice.notes)
  await put(there, 'd')
  await drop(there, 'd')
  await forgetRemovals(there)
  alice.wire.mend()
  alice.wire.before = async (_, number) => {
    if (number === 2) throw new Cut()
  }
  await expect(syncAll(alice.notes)).rejects.toThrow()
  alice.wire.mend()
  await drop(there, 'a')
  await put(there, 'e')
  await forgetRemovals(there)
  await syncAll(alice.notes)
  expect(await titles(alice.dataSource)).toEqual({ b: 'b', c: 'c', e: 'e' })
})

test('what was removed and forgotten while Alice was away goes, what she made stays', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['a', 'b']) await put(there, id)
  const alice = await client(url)
  await syncAll(alice.notes)
  await put(alice.dataSource, 'new')
  await drop(there, 'a')
  await put(there, 'c')
  await forgetRemovals(there)
  await syncAll(alice.notes)
  expect(await titles(alice.dataSource)).toEqual({ b: 'b', c: 'c', new: 'new' })
  expect(await titles(there)).toEqual({ b: 'b', c: 'c', new: 'new' })
})

test('a full answer sweeps what Alice pushed herself, too', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  for (const id of ['a', 'b']) await put(alice.dataSource, id)
  await syncAll(alice.notes)
  await syncAll(alice.notes)
  await drop(there, 'a')
  await put(there, 'c')
  await forgetRemovals(there)
  await syncAll(alice.notes)
  expect(await titles(alice.dataSource)).toEqual({ b: 'b', c: 'c' })
})

test('a full answer whose sweep was cut off sweeps the rest the next time', async () => {
  const { dataSource: there, url } = await server()
  for (let i = 0; i < 250; i++) await put(there, `n${i}`)
  let sweeps = 0
  let fails = true
  const alice = await client(url, {
    beforeStatement: sql => {
      if (/NOT EXISTS \(SELECT 1 FROM sync_seen/.test(sql) && ++sweeps === 2 && fails) throw new Error('the process dies here')
    },
  })
  await syncAll(alice.notes)
  await there.query("DELETE FROM note WHERE id <> 'n7'")
  await put(there, 'new')
  await forgetRemovals(there)
  await expect(syncAll(alice.notes)).rejects.toThrow('the process dies here')
  expect(Object.keys(await titles(alice.dataSource)).length).toBeGreaterThan(2)
  fails = false
  await syncAll(alice.notes)
  expect(await titles(alice.dataSource)).toEqual({ n7: 'n7', new: 'new' })
})

test('a conflict over a note that is removed and forgotten meanwhile becomes one with a removal', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  await put(alice.dataSource, 'a', 'hers')
  await put(there, 'a', 'remote')
  expect(await syncAll(alice.notes)).toMatchObject({ unapplied: 1 })
  await drop(there, 'a')
  await put(there, 'b')
  await forgetRemovals(there)
  await syncAll(alice.notes)
  const unapplied = await unappliedOf(journal(alice.notes))
  expect(unapplied.map(w => [w.id, w.local?.title, w.remote])).toEqual([['a', 'hers', null]].slice(0, unapplied.length))
  await syncAll(alice.notes, (conflicts, updates) => void updates.push(...conflicts.map(c => ({ id: c.id }))))
  expect(await titles(there)).toEqual({ a: 'hers', b: 'b' })
})

test('a push from another history, or from below the horizon, is not stored', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a')
  await drop(there, 'a')
  const now = await nowOf(there)
  expect(await (await post(url, `since=${now + 1}`, [{ id: 'x', title: 'x' }])).json()).toMatchObject({ reset: 'collection-changed' })
  expect(await (await post(url, 'since=1&collection=other', [{ id: 'x', title: 'x' }])).json()).toMatchObject({
    reset: 'collection-changed',
  })
  await forgetRemovals(there)
  // the removal of «a» is not there any more to contest it
  expect(await (await post(url, `since=${now - 1}`, [{ id: 'a', title: 'a', _partial: false }])).json()).toMatchObject({
    reset: 'since-too-old',
  })
  expect(await titles(there)).toEqual({})
})

test('a server that has another history, and does not say so, is not read', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a')
  const alice = await client(url)
  await syncAll(alice.notes)
  await put(there, 'b')
  alice.wire.after = async (_, __, response) =>
    new Response(JSON.stringify({ ...((await response.json()) as object), collection: 'another' }))
  await expect(syncAll(alice.notes)).rejects.toThrow(InvalidAnswerError)
  expect(await titles(alice.dataSource)).toEqual({ a: 'a' })
})

test('«nothing new» is said to recent cursors alone: an old one would fall below the horizon one day', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a')
  const now = await nowOf(there)
  const { etag } = await get(url, `since=${now}`)
  expect((await get(url, `since=${now}`, { 'if-none-match': etag })).status).toBe(304)
  expect((await get(url, `since=${now - 1}`, { 'if-none-match': etag })).status).toBe(200)
  // other collections go on for two days
  await unseen(there, `UPDATE sync_clock SET now = now + ${2 * 24 * 60 * 60 * 1000}`)
  expect(await get(url, `since=${now}`, { 'if-none-match': etag })).toMatchObject({ status: 200, now: await nowOf(there), updates: [] })
})

test('a cursor never goes back', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  let last = 0
  for (const id of ['a', 'b', 'c']) {
    await put(there, id)
    await syncAll(alice.notes)
    const readUpTo = Number((await journal(alice.notes).servers())[0]?.readUpTo)
    expect(readUpTo).toBeGreaterThan(last)
    last = readUpTo
  }
})

test('after a restore whatever the backup lacks is pushed again, be it read or made here, and nothing waits for the lost history', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  await put(alice.dataSource, 'made')
  await syncAll(alice.notes)
  await put(there, 'read')
  await put(there, 'contested', 'zero')
  await syncAll(alice.notes)
  await edit(alice.dataSource, 'contested', 'hers')
  await edit(there, 'contested', 'remote')
  expect(await syncAll(alice.notes)).toMatchObject({ unapplied: 1 })
  await put(there, 'read, later')
  await syncAll(alice.notes)
  await unseen(there, 'DELETE FROM note', 'DELETE FROM sync_tombstone')
  await renewHistory(there)
  expect(await syncAll(alice.notes)).toMatchObject({ unapplied: 0 })
  const all = { contested: 'hers', made: 'made', read: 'read', 'read, later': 'read, later' }
  expect(await titles(there)).toEqual(all)
  expect(await titles(alice.dataSource)).toEqual(all)
})
