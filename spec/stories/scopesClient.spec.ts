// What a client says of the keys that its user holds, and what it makes of answers for others; by answers that are written here.

import { expect, test } from '@jest/globals'
import { EntitySchema } from 'typeorm'
import { enableSync, journal, SyncContentionError, syncAll } from 'typeorm-sync'
import { deviceOf, HandMade } from './handMade.js'

interface Note {
  id: string
  text: string
}
const Note = new EntitySchema<Note>({
  ...{ name: 'Note', tableName: 'note' },
  columns: { id: { type: 'varchar', primary: true }, text: { type: 'varchar' } },
})
enableSync(Note, '/notes')

async function world() {
  const server = new HandMade()
  const phone = await deviceOf(server, [Note])
  const rows = phone.getRepository(Note)
  const notes = async () => (await rows.find({ order: { id: 'ASC' } })).map(n => `${n.id} ${n.text}`)
  const asked = () => server.gets.map(query => query.get('scope'))
  return { server, phone, rows, notes, asked, sync: () => syncAll(phone) }
}

test('a server that names no set of keys is told of none', async () => {
  const { server, rows, asked, sync } = await world()
  server.scope = undefined
  await sync()
  await rows.save({ id: 'a', text: 'ours' })
  await sync()
  expect(asked()).toEqual([null, null])
  expect(server.posts.map(({ query }) => query.get('scope'))).toEqual([null])
})

test('the set that the last answer named is said with every request', async () => {
  const { server, rows, asked, sync } = await world()
  await sync()
  server.scope = 'two'
  await sync()
  await rows.save({ id: 'a', text: 'ours' })
  await sync()
  expect(asked()).toEqual([null, 'one', 'two'])
  expect(server.posts.map(({ query }) => query.get('scope'))).toEqual(['two'])
})

test('while an answer for another set is read, none is held, and the new one counts with the last page', async () => {
  const { server, notes, asked, sync } = await world()
  await sync()
  server.scope = 'two'
  server.answers.push(
    { changes: { '/notes': [server.row('a', { text: 'A' })] }, next: 'n' },
    { changes: { '/notes': [server.row('b', { text: 'B' })] } },
  )
  await sync()
  expect(asked()).toEqual([null, 'one', ''])
  expect(await notes()).toEqual(['a A', 'b B'])
  await sync()
  expect(asked().at(-1)).toBe('two')
})

test('a pull that breaks off leaves no set, though the old one comes back', async () => {
  const { server, asked, sync } = await world()
  await sync()
  server.scope = 'two'
  server.answers.push({ changes: { '/notes': [server.row('a', { text: 'A' })] }, next: 'n' })
  let requests = 0
  server.before = () => {
    if (++requests === 2) throw new TypeError('fetch failed')
  }
  await expect(sync()).rejects.toThrow()
  server.before = undefined
  server.scope = 'one'
  await sync()
  expect(asked()).toEqual([null, 'one', ''])
  expect(server.gets.at(-1)?.get('after')).toBe('n')
  await sync()
  expect(asked().at(-1)).toBe('one')
})

test('an answer counts only for the set that was asked with', async () => {
  const { server, phone, notes, sync } = await world()
  await sync()
  const other = phone
  let isFirst = true
  server.before = async () => {
    if (!isFirst) return
    isFirst = false
    // another window of this device has read the answer for another set meanwhile
    await other.query(`UPDATE sync_server SET scope = 'two'`)
  }
  server.answers.push({ changes: { '/notes': [server.row('a', { text: 'of set one' })] }, scope: 'one' }, { scope: 'two' })
  await sync()
  expect(await notes()).toEqual([])
  expect(server.gets.map(query => query.get('scope'))).toEqual([null, 'one', 'two'])
})

test('a push for another set stores nothing, and the server is read first', async () => {
  const { server, rows, notes, asked, sync } = await world()
  await sync()
  await rows.save({ id: 'a', text: 'ours' })
  server.replies.push({ status: 409, body: { reset: 'scope-changed', scope: 'two' } })
  server.answers.push({}, { scope: 'two', changes: { '/notes': [server.row('b', { text: 'B' })] } })
  server.before = method => {
    if (method === 'POST' && server.posts.length) server.scope = 'two'
  }
  const report = await sync()
  expect(report).toMatchObject({ pushed: 1, rejected: 0 })
  expect(asked()).toEqual([null, 'one', 'one'])
  expect(server.posts.map(({ query }) => query.get('scope'))).toEqual(['one', 'two'])
  expect(await notes()).toEqual(['a ours', 'b B'])
})

test('a server that calls every set another one ends in contention, and keeps what is not pushed', async () => {
  const { server, phone, rows, sync } = await world()
  await sync()
  await rows.save({ id: 'a', text: 'ours' })
  for (let i = 0; i < 10; i++) server.replies.push({ status: 409, body: { reset: 'scope-changed' } })
  await expect(sync()).rejects.toThrow(SyncContentionError)
  expect(await journal(phone.getRepository(Note)).pendingCount()).toBe(1)
})

test('a page that belongs to other sets begins anew', async () => {
  const { server, notes, asked, sync } = await world()
  server.answers.push(
    { changes: { '/notes': [server.row('a', { text: 'A' })] }, next: 'n' },
    { full: true, reset: 'scope-changed', scope: 'two', changes: { '/notes': [server.row('b', { text: 'B' })] } },
  )
  await sync()
  // the set that is read now shows nothing else
  expect(await notes()).toEqual(['b B'])
  await sync()
  expect(asked()).toEqual([null, '', 'two'])
})

test('a server that names sets no more is read from the beginning', async () => {
  const { server, notes, asked, sync } = await world()
  await sync()
  server.scope = undefined
  server.answers.push({}, { full: true, changes: { '/notes': [server.row('a', { text: 'always there' })] } })
  await sync()
  expect(await notes()).toEqual(['a always there'])
  expect(asked()).toEqual([null, 'one', null])
  expect(server.gets.map(query => query.get('since'))[2]).toBe('0')
  await sync()
  expect(server.gets).toHaveLength(4)
})

test('what is not allowed is pushed again when the user holds other keys, and not before', async () => {
  const { server, phone, rows, sync } = await world()
  await sync()
  await rows.save({ id: 'a', text: 'ours' })
  const refuse = () =>
    server.replies.push({ status: 422, body: { errors: [{ collection: '/notes', id: 'a', code: 'not-allowed', detail: 'no' }] } })
  refuse()
  expect(await sync()).toMatchObject({ pushed: 0, rejected: 1 })
  expect(await journal(phone.getRepository(Note)).rejected()).toMatchObject([{ id: 'a', code: 'not-allowed' }])
  await sync()
  expect(server.posts).toHaveLength(1)
  server.scope = 'two'
  refuse()
  await sync()
  expect(server.posts).toHaveLength(2)
  await sync()
  expect(server.posts).toHaveLength(2)
  server.scope = 'one'
  expect(await sync()).toMatchObject({ pushed: 1, rejected: 0 })
})
