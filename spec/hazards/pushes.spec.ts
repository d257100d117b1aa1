import 'reflect-metadata'
import { expect, test } from '@jest/globals'
import type { DataSource } from 'typeorm'
import { type ConflictHandler, journal, preferLocalConflictHandler, syncAll } from 'typeorm-sync'
import { testOnSqlite, type WireRequest } from '../stories/devices.js'
import { Cut, client, drop, edit, hasFeed, nowOf, put, rowsIn, server, TABLES, titles, twoWindows, unseen } from './world.js'

const isPush = ({ method, body }: { method: string; body: string | undefined }) => method === 'POST' && rowsIn(body).length > 0
const post = (url: string, query: string, body: unknown) =>
  fetch(`${url}/notes?${query}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
const send = ({ url, body }: WireRequest, key: string) =>
  fetch(url, { method: 'POST', headers: { 'content-type': 'application/json', 'idempotency-key': key }, body: body as string })

/** Reads what a window of another process would find. */
const remoteOf = async ({ dataSource }: Awaited<ReturnType<typeof client>>) =>
  (await dataSource.query(`SELECT * FROM sync_server WHERE collection = 'note'`))[0]

test('a note whose push got no answer, and that the server removed since, does not come back', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  await syncAll(alice.notes)
  await put(alice.dataSource, 'a')
  alice.wire.after = request => {
    if (isPush(request)) throw new Cut()
  }
  await expect(syncAll(alice.notes)).rejects.toThrow()
  alice.wire.mend()
  await drop(there, 'a')
  await syncAll(alice.notes)
  expect(await titles(alice.dataSource)).toEqual({})
  expect(await titles(there)).toEqual({})
})

test('an answer that comes to a window that was asleep does not undo what another one has read', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a', 'one')
  const [first, second] = await twoWindows(url)
  await syncAll(first.notes)
  await edit(there, 'a', 'two')
  first.wire.after = async ({ method }) => {
    if (method !== 'GET') return
    first.wire.mend()
    await edit(there, 'a', 'three')
    await syncAll(second.notes)
  }
  await syncAll(first.notes)
  expect(await titles(first.dataSource)).toEqual({ a: 'three' })
  expect(await remoteOf(first)).toMatchObject({ server_date: await nowOf(there) })
})

test('what others changed between two batches of a push is not overwritten', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['a', 'b']) await put(there, id)
  const alice = await client(url, { batchSize: 1 })
  await syncAll(alice.notes)
  await edit(alice.dataSource, 'a', 'hers')
  await edit(alice.dataSource, 'b', 'hers')
  alice.wire.before = async request => {
    if (!isPush(request)) return
    alice.wire.mend()
    await edit(there, 'b', 'remote')
  }
  expect(await syncAll(alice.notes)).toMatchObject({ unapplied: 1 })
  expect(await titles(there)).toEqual({ a: 'hers', b: 'remote' })
})

test('a note that is edited while the batch before its own is under way is pushed as it is then', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['a', 'b']) await put(there, id, 'one')
  const alice = await client(url, { batchSize: 1 })
  await syncAll(alice.notes)
  for (const id of ['a', 'b']) await edit(alice.dataSource, id, 'two')
  alice.wire.before = async request => {
    if (!isPush(request)) return
    alice.wire.mend()
    await new Promise(resolve => setTimeout(resolve, 50)) // the next batch is read meanwhile
    await edit(alice.dataSource, 'b', 'one')
  }
  await syncAll(alice.notes)
  await syncAll(alice.notes)
  expect(await titles(alice.dataSource)).toEqual({ a: 'two', b: 'one' })
  expect(await titles(there)).toEqual({ a: 'two', b: 'one' })
})

// a varchar has room for so much on SQLite alone, here and there
const testOfLongTitles = process.env.SYNC_SERVER === 'mysql' ? () => {} : testOnSqlite

testOfLongTitles('a push has no more than a megabyte, and more rows where they are small', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  await syncAll(alice.notes)
  const bodies: string[] = []
  alice.wire.before = async request => void (isPush(request) && bodies.push(request.body as string))
  const sent = async () => {
    await syncAll(alice.notes)
    return bodies.splice(0)
  }
  for (let i = 0; i < 5; i++) await put(alice.dataSource, `large ${i}`, 'é'.repeat(200_000)) // 400 kB each
  expect((await sent()).map(body => rowsIn(body).length)).toEqual([2, 2, 1])
  await put(alice.dataSource, 'too large to have company', 'x'.repeat(1_200_000))
  await put(alice.dataSource, 'small')
  expect((await sent()).map(body => rowsIn(body).length)).toEqual([1, 1])
  expect(Object.keys(await titles(there))).toHaveLength(7)
})

testOnSqlite('an image that is no base any more goes with the next sync, though there is nothing to tell', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a')
  const alice = await client(url)
  for (let i = 0; i < 2; i++) await syncAll(alice.notes)
  // as the simulation has found one, on a device with two servers
  const baseVersion = "SELECT id, 'a', 0, 1 FROM sync_server WHERE collection = 'note'"
  await unseen(alice.dataSource, `INSERT INTO sync_base_note (_sync_server, _sync_id, _sync_stamp, _sync_removed) ${baseVersion}`)
  expect(await syncAll(alice.notes)).toMatchObject({ requests: hasFeed ? 1 : TABLES.length, pushed: 0 })
  expect(await alice.dataSource.query('SELECT * FROM sync_base_note')).toEqual([])
})

test('what was in a push that came to nothing is no version that the server knows', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['a', 'b']) await put(there, id, 'zero')
  const alice = await client(url)
  await syncAll(alice.notes)
  await edit(alice.dataSource, 'a', 'one')
  alice.wire.before = async request => {
    if (!isPush(request)) return
    alice.wire.mend()
    await edit(there, 'a', 'remote')
    await edit(alice.dataSource, 'a', 'two')
  }
  await syncAll(alice.notes)
  // the others are pushed, and with them everything up to now
  await edit(alice.dataSource, 'b', 'one')
  await syncAll(alice.notes)
  const bases: unknown[] = []
  await syncAll(alice.notes, conflicts => void bases.push(...conflicts.map(c => (c.base as { title: string } | null)?.title)))
  expect(bases).toEqual(['zero'])
})

test('a note in conflict does not count as pushed with the others, however often it is edited', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['a', 'b']) await put(there, id, 'zero')
  const alice = await client(url)
  await syncAll(alice.notes)
  await edit(alice.dataSource, 'a', 'one')
  await edit(there, 'a', 'remote')
  await edit(alice.dataSource, 'b', 'one')
  expect(await syncAll(alice.notes)).toMatchObject({ unapplied: 1, pushed: 1 })
  await edit(alice.dataSource, 'b', 'two')
  // while the application is asked she goes on writing
  const later = () => edit(alice.dataSource, 'a', 'two')
  // one by one, all collections are synced again where something is deferred: another one may have brought what it needs
  expect(await syncAll(alice.notes, later)).toMatchObject({ conflicts: hasFeed ? 1 : 2, unapplied: 1, pushed: 1 })
  expect(await syncAll(alice.notes, preferLocalConflictHandler)).toMatchObject({ conflicts: 1, unapplied: 0 })
  expect(await titles(there)).toEqual({ a: 'two', b: 'two' })
})

testOnSqlite('nor is one overwritten that was there before anything was synced', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a', 'remote')
  const [alice] = await twoWindows(url, {}, async before => void (await put(before, 'a', 'hers')))
  expect(await syncAll(alice.notes)).toMatchObject({ unapplied: 1 })
  await edit(there, 'a', 'remote again')
  expect(await syncAll(alice.notes)).toMatchObject({ unapplied: 1 })
  expect(await titles(alice.dataSource)).toEqual({ a: 'hers' })
})

test('what is saved while a push is under way is pushed by the next one', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  await put(alice.dataSource, 'a')
  alice.wire.before = async request => {
    if (!isPush(request)) return
    alice.wire.mend()
    await put(alice.dataSource, 'b')
    await edit(alice.dataSource, 'a', 'edited')
  }
  await syncAll(alice.notes)
  expect(await titles(there)).toEqual({ a: 'a' })
  await syncAll(alice.notes)
  expect(await titles(there)).toEqual({ a: 'edited', b: 'b' })
})

test('what a push has is what both know, whatever is edited meanwhile', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  await put(alice.dataSource, 'a', 'one')
  alice.wire.before = async request => {
    if (!isPush(request)) return
    alice.wire.mend()
    await edit(alice.dataSource, 'a', 'two')
  }
  await syncAll(alice.notes)
  await there.query(`UPDATE note SET body = 'remote' WHERE id = 'a'`)
  expect(await syncAll(alice.notes)).toMatchObject({ merged: 1, conflicts: 0, unapplied: 0 })
  expect(await alice.dataSource.query('SELECT title, body FROM note')).toEqual([{ title: 'two', body: 'remote' }])
})

test('a decision to keep our side is not acknowledged by an older push', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a', 'zero')
  const [first, second] = await twoWindows(url)
  await syncAll(first.notes)
  await edit(first.dataSource, 'a', 'hers')
  await edit(there, 'a', 'remote')
  await syncAll(first.notes) // it is in conflict
  await put(first.dataSource, 'b')
  first.wire.after = async request => {
    if (!isPush(request)) return
    first.wire.mend()
    await syncAll(second.notes, preferLocalConflictHandler)
  }
  await syncAll(first.notes)
  await syncAll(first.notes)
  expect(await titles(first.dataSource)).toEqual({ a: 'hers', b: 'b' })
  expect(await titles(there)).toEqual({ a: 'hers', b: 'b' })
})

test('the server’s side of a decision is what both know from then on', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a', 'zero', { body: 'zero' })
  const alice = await client(url)
  await syncAll(alice.notes)
  await edit(alice.dataSource, 'a', 'hers')
  await there.query(`UPDATE note SET title = 'remote', body = 'remote' WHERE id = 'a'`)
  await syncAll(alice.notes, preferLocalConflictHandler)
  await syncAll(alice.notes)
  expect(rowsIn(alice.wire.requests.findLast(isPush)?.body)).toEqual([{ id: 'a', title: 'hers', _partial: true }])
})

test('an acknowledgement that comes late, for a push that another window has ended, leaves the next push alone', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'b')
  const [first, second] = await twoWindows(url)
  await syncAll(first.notes)
  await put(first.dataSource, 'a')
  first.wire.after = async request => {
    if (!isPush(request)) return
    first.wire.mend()
    await put(second.dataSource, 'c')
    second.wire.after = other => {
      if (isPush(other)) throw new Cut()
    }
    await expect(syncAll(second.notes)).rejects.toThrow()
    second.wire.mend()
    // the second push has arrived, which no device knows; what it had is removed there
    await drop(there, 'c')
    first.wire.before = () => {
      throw new Cut()
    }
  }
  await syncAll(first.notes).catch(() => {})
  first.wire.mend()
  expect(await remoteOf(first)).toMatchObject({ push_key: expect.any(String) })
  await syncAll(first.notes)
  expect(await titles(first.dataSource)).toEqual({ a: 'a', b: 'b' })
  expect(await titles(there)).toEqual({ a: 'a', b: 'b' })
})

test('a rejection that comes late, for a push that another window has ended, leaves the next push alone', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a')
  const [first, second] = await twoWindows(url)
  await syncAll(first.notes)
  await edit(first.dataSource, 'a', 'hers')
  first.wire.before = async request => {
    if (!isPush(request)) return
    first.wire.before = undefined
    await edit(there, 'a', 'remote')
  }
  first.wire.after = async request => {
    if (!isPush(request)) return
    first.wire.mend()
    second.wire.after = other => {
      if (isPush(other)) throw new Cut()
    }
    await put(second.dataSource, 'c')
    await expect(syncAll(second.notes)).rejects.toThrow()
    first.wire.before = () => {
      throw new Cut()
    }
  }
  await syncAll(first.notes).catch(() => {})
  expect(await remoteOf(first)).toMatchObject({ push_key: expect.any(String) })
})

test.each([true, false])(
  'a window does not read on while another one’s push is unanswered, be there news (%p) or not',
  async isLocalChange => {
    const { dataSource: there, url } = await server()
    await put(there, 'a')
    const [first, second] = await twoWindows(url)
    await syncAll(first.notes)
    if (isLocalChange) await edit(there, 'a', 'edited')
    second.wire.before = async () => {
      second.wire.mend()
      await put(first.dataSource, 'x')
      first.wire.after = request => {
        if (isPush(request)) throw new Cut()
      }
      await expect(syncAll(first.notes)).rejects.toThrow()
      await drop(there, 'x')
    }
    await syncAll(second.notes)
    await syncAll(second.notes)
    const end = { a: isLocalChange ? 'edited' : 'a' }
    expect(await titles(first.dataSource)).toEqual(end)
    expect(await titles(there)).toEqual(end)
  },
)

test('no handler is called while a window that is stopped by another one has read half of what there is', async () => {
  const { dataSource: there, url } = await server()
  for (const id of ['a', 'b']) await put(there, id, 'zero')
  const [first, second] = await twoWindows(url, { pageSize: 1 })
  for (let i = 0; i < 2; i++) await syncAll(first.notes)
  await put(first.dataSource, 'z')
  let [pushes, goOn] = [() => {}, () => {}]
  const isPushing = new Promise<void>(resolve => {
    pushes = resolve
  })
  const mayGoOn = new Promise<void>(resolve => {
    goOn = resolve
  })
  const shown: unknown[] = []
  let reading: Promise<unknown> | undefined
  // nothing new for the first window, which pushes next; in between the second one reads the first of two pages
  first.wire.after = async ({ method }, _, response) => {
    if (method !== 'GET') return
    first.wire.mend()
    expect(response.status).toBe(304)
    await edit(second.dataSource, 'a', 'hers')
    await edit(there, 'a', 'remote')
    await edit(there, 'b', 'remote')
    await new Promise<void>(halfRead => {
      second.wire.before = async (_request, number) => {
        if (number !== 2) return
        halfRead()
        await isPushing
      }
      second.wire.requests.length = 0
      reading = syncAll(
        second.notes,
        async conflicts =>
          void shown.push(
            conflicts.map(c => c.id),
            await titles(second.dataSource),
          ),
      )
    })
    first.wire.before = async request => {
      if (!isPush(request)) return
      pushes()
      await mayGoOn
    }
  }
  const telling = syncAll(first.notes)
  await isPushing
  await reading
  goOn()
  await telling
  expect(shown.slice(0, 2)).toEqual([['a'], { a: 'hers', b: 'remote', z: 'z' }])
})

test('a part of a note that is not there is contested, and makes no half of a note', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a')
  const since = await nowOf(there)
  expect((await post(url, '', [{ id: 'x', title: 'half', _partial: true }])).status).toBe(409)
  await edit(there, 'a', 'remote')
  const answer = await post(url, `since=${since}`, [
    { id: 'x', title: 'half', _partial: true },
    { id: 'a', title: 'local', _partial: true },
  ])
  expect(await answer.json()).toMatchObject({
    status: 409,
    updates: [
      { id: 'a', title: 'remote' },
      { id: 'x', _removed: true },
    ],
  })
  expect(await titles(there)).toEqual({ a: 'remote' })
})

test('what is posted as it is already is no change for any client', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a')
  const now = await nowOf(there)
  expect(await (await post(url, '', [{ id: 'a', title: 'a' }])).json()).toMatchObject({ status: 'ok', now })
  expect(await nowOf(there)).toBe(now)
})

test('what the server made of a note is read back', async () => {
  const { dataSource: there, url } = await server()
  if (there.options.type === 'postgres') {
    await there.query(`CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.title = upper(NEW.title); RETURN NEW; END'`)
    await there.query('CREATE TRIGGER tidy BEFORE INSERT ON note FOR EACH ROW EXECUTE FUNCTION tidy()')
  } else if (there.options.type === 'mariadb')
    await there.query('CREATE TRIGGER tidy BEFORE INSERT ON note FOR EACH ROW SET NEW.title = upper(NEW.title)')
  else await there.query('CREATE TRIGGER tidy AFTER INSERT ON note BEGIN UPDATE note SET title = upper(title) WHERE id = NEW.id; END')
  const alice = await client(url)
  await syncAll(alice.notes)
  await put(alice.dataSource, 'a', 'milk')
  await syncAll(alice.notes)
  await syncAll(alice.notes)
  expect(await titles(alice.dataSource)).toEqual({ a: 'MILK' })
  // nor where a row was removed, so that each is looked at before it is stored
  await put(there, 'x')
  await drop(there, 'x')
  await put(alice.dataSource, 'b', 'bread')
  await syncAll(alice.notes)
  await syncAll(alice.notes)
  expect(await titles(alice.dataSource)).toEqual({ a: 'MILK', b: 'BREAD' })
})

test('what others wrote just before a push arrived is still read', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  await syncAll(alice.notes)
  await put(alice.dataSource, 'a')
  alice.wire.before = async request => {
    if (!isPush(request)) return
    alice.wire.mend()
    await put(there, 'b')
  }
  await syncAll(alice.notes)
  // her own note comes back along with it, and is no local change
  expect(await syncAll(alice.notes)).toMatchObject({ pulled: 1, merged: 0, conflicts: 0 })
  expect(await titles(alice.dataSource)).toEqual({ a: 'a', b: 'b' })
})

const RULE = `CREATE TRIGGER rule BEFORE INSERT ON note WHEN NEW.title LIKE '%!' BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: rule'); END`

// SQLite adds no CHECK to a table that is there
const setRule = (of: DataSource) =>
  of.query(of.options.type !== 'better-sqlite3' ? `ALTER TABLE note ADD CONSTRAINT rule CHECK (title NOT LIKE '%!')` : RULE)
const liftRule = (of: DataSource) =>
  of.query(of.options.type !== 'better-sqlite3' ? 'ALTER TABLE note DROP CONSTRAINT rule' : 'DROP TRIGGER rule')

test('a note that the server rejects is set aside, and the others go on', async () => {
  const { dataSource: there, url } = await server()
  await setRule(there)
  const alice = await client(url)
  for (const title of ['a', 'b!', 'c']) await put(alice.dataSource, title[0] as string, title)
  expect(await syncAll(alice.notes)).toMatchObject({ pushed: 2, rejected: 1 })
  expect(await titles(there)).toEqual({ a: 'a', c: 'c' })
  // it does not count as pushed, and is pushed when it was mended
  await edit(alice.dataSource, 'b', 'b')
  expect(await syncAll(alice.notes)).toMatchObject({ pushed: 1, rejected: 0 })
  expect(await titles(there)).toEqual({ a: 'a', b: 'b', c: 'c' })
})

test('an edit that the server rejected is not overwritten by what comes from there', async () => {
  const { dataSource: there, url } = await server()
  await put(there, 'a', 'zero')
  const alice = await client(url)
  await syncAll(alice.notes)
  await (there.options.type === 'better-sqlite3' ? there.query(RULE.replace('INSERT', 'UPDATE')) : setRule(there))
  await edit(alice.dataSource, 'a', 'hers!')
  expect(await syncAll(alice.notes)).toMatchObject({ rejected: 1 })
  await there.query(`UPDATE note SET body = 'remote'`)
  await syncAll(alice.notes)
  expect(await alice.notes.find()).toMatchObject([{ title: 'hers!', body: 'remote' }])
})

testOnSqlite('nor is a note that it rejected, and that was there before anything was synced', async () => {
  const { dataSource: there, url } = await server()
  await setRule(there)
  const [alice] = await twoWindows(url, {}, async before => void (await put(before, 'a', 'hers!')))
  expect(await syncAll(alice.notes)).toMatchObject({ rejected: 1 })
  await put(there, 'a', 'remote')
  expect(await syncAll(alice.notes)).toMatchObject({ unapplied: 1 })
  expect(await titles(alice.dataSource)).toEqual({ a: 'hers!' })
})

test('who may not write still reads, and has nothing to end', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  await put(alice.dataSource, 'a')
  const forbid = () => {
    alice.wire.mend()
    alice.wire.before = ({ method }) => (method === 'POST' ? new Response('{}', { status: 403 }) : undefined)
  }
  forbid()
  await expect(syncAll(alice.notes)).rejects.toMatchObject({ status: 403 })
  await put(there, 'b')
  forbid()
  await expect(syncAll(alice.notes)).rejects.toMatchObject({ status: 403 })
  expect(alice.wire.requests.map(r => r.method)).toEqual(['GET', 'POST'])
  expect(await titles(alice.dataSource)).toEqual({ a: 'a', b: 'b' })
})

test('nor does a push that got no answer keep a client from reading that may not write any more', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  await put(alice.dataSource, 'a')
  alice.wire.before = request => {
    if (isPush(request)) throw new Cut()
  }
  await expect(syncAll(alice.notes)).rejects.toThrow()
  await put(there, 'b')
  alice.wire.before = ({ method }) => (method === 'POST' ? new Response('{}', { status: 403 }) : undefined)
  await expect(syncAll(alice.notes)).rejects.toMatchObject({ status: 403 })
  expect(await titles(alice.dataSource)).toEqual({ a: 'a', b: 'b' })
})

test('a push that is too large is sent in halves, and a note that is too large alone is set aside', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  for (const id of ['a', 'b', 'c', 'd', 'e']) await put(alice.dataSource, id)
  await put(alice.dataSource, 'f', 'large')
  alice.wire.before = (request, number) => {
    if (number > 40) throw new Cut()
    const rows = rowsIn(request.body)
    if (rows.length > 2 || request.body?.includes('large')) return new Response('{}', { status: 413 })
  }
  expect(await syncAll(alice.notes)).toMatchObject({ pushed: 5, rejected: 1 })
  expect(Object.keys(await titles(there))).toEqual(['a', 'b', 'c', 'd', 'e'])
  expect(await journal(alice.notes).rejected()).toMatchObject([{ id: 'f', code: 'too-large' }])
})

test('after a push that took too long the next one is half as large', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url, { timeout: 1_500 })
  for (const id of ['a', 'b', 'c', 'd']) await put(alice.dataSource, id)
  alice.wire.before = request => (isPush(request) ? new Promise(() => {}) : undefined)
  await expect(syncAll(alice.notes)).rejects.toMatchObject({ name: 'RequestTimeoutError' })
  alice.wire.mend()
  await syncAll(alice.notes)
  expect(alice.wire.requests.filter(isPush).map(r => rowsIn(r.body).length)[0]).toBe(2)
  expect(Object.keys(await titles(there))).toEqual(['a', 'b', 'c', 'd'])
})

test('a push that was rejected the second time, and arrives late from the first, is not stored', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url, { retries: 1, wait: async () => {} })
  await put(alice.dataSource, 'a', 'a!')
  let late: (WireRequest & { key: string }) | undefined
  alice.wire.before = async request => {
    if (!isPush(request) || late) return
    late = { ...request, key: (await remoteOf(alice)).push_key }
    await setRule(there)
    throw new Cut()
  }
  expect(await syncAll(alice.notes)).toMatchObject({ rejected: 1 })
  await liftRule(there)
  const { key, ...request } = late as WireRequest & { key: string }
  await send(request, key)
  expect(await titles(there)).toEqual({})
})

test('many notes of one moment are pushed in batches, all of them', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url, { batchSize: 2 })
  const ids = ['a', 'b', 'c', 'd', 'e']
  // as they are where they were there before they were synced
  await unseen(
    alice.dataSource,
    'UPDATE sync_clock SET now = now + 1',
    ...ids.map(id => `INSERT INTO note (id, title, "_lastChange") SELECT '${id}', '${id}', now FROM sync_clock`),
  )
  await syncAll(alice.notes)
  expect(Object.keys(await titles(there))).toEqual(ids)
})

test('a call while a sync runs resolves when what was saved before the call is pushed', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  await put(alice.dataSource, 'a')
  let joined: Promise<unknown> | undefined
  alice.wire.after = async request => {
    if (!isPush(request)) return
    alice.wire.mend()
    await put(alice.dataSource, 'b')
    joined = syncAll(alice.notes)
  }
  await syncAll(alice.notes)
  await joined
  expect(await titles(there)).toEqual({ a: 'a', b: 'b' })
})

testOnSqlite('a database in memory is saved before a push leaves, and when the sync is done', async () => {
  const { url } = await server()
  const story: string[] = []
  const alice = await client(url, { save: () => void story.push('saved') })
  await put(alice.dataSource, 'a')
  story.length = 0
  alice.wire.before = request => void (isPush(request) && story.push('pushed'))
  await syncAll(alice.notes)
  // to ask for a feed in vain, and to sync the folders, is a sync each
  expect(story).toEqual([...(hasFeed ? [] : ['saved', 'saved']), 'saved', 'pushed', 'saved'])
})

test('nothing is pushed twice, no handler is called again, and nothing is kept, when nothing has changed', async () => {
  const { dataSource: there, url } = await server()
  const alice = await client(url)
  const ask: ConflictHandler = () => expect(0).toBe(1)
  for (const id of ['a', 'b', 'c', 'd', 'e']) {
    await put(there, id)
    for (let i = 0; i < 2; i++) await syncAll(alice.notes, ask)
  }
  expect(alice.wire.requests.filter(isPush)).toEqual([])
  // nor does a client that only reads collect the stamps of what it read
  const [{ count }] = await alice.dataSource.query(
    `SELECT count(*) AS count FROM sync_stamp s JOIN sync_server r ON r.id = s.server WHERE r.collection = 'note'`,
  )
  expect(Number(count)).toBeLessThan(2)
  await edit(alice.dataSource, 'a', 'hers')
  await syncAll(alice.notes)
  expect(await alice.dataSource.query('SELECT * FROM sync_base_note')).toEqual([])
})
