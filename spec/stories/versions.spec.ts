import 'reflect-metadata'
import { beforeEach, describe, expect, test } from '@jest/globals'
import { type DataSource, type DataSourceOptions, EntitySchema } from 'typeorm'
import { enableSync, hasLocalChanges, journal, preferLocalConflictHandler, preferRemoteConflictHandler, syncAll } from 'typeorm-sync'
import { databaseOn, type Kind, openIn, openOn, SERVERS, serve, sql } from '../support/eachDatabase.js'

// One entity in the version that everybody has, and in the next one, which has a column more.
const columns = { id: { type: 'varchar', length: 100, primary: true }, name: { type: 'varchar', length: 100, default: '' } } as const
const Old = new EntitySchema<any>({ name: 'Old', tableName: 'job', columns })
const New = new EntitySchema<any>({ name: 'New', tableName: 'job', columns: { ...columns, priority: { type: 'int', default: 1 } } })
enableSync(Old, '/jobs')
enableSync(New, '/jobs')

const names = (rows: Record<string, unknown>[]) => rows.map(({ id, name, priority }) => ({ id, name, priority }))
const rowsOf = async (of: DataSource) => names(await sql(of, 'SELECT * FROM "job" ORDER BY "id"'))

describe.each(SERVERS)('a server on %s that gets a column later than its clients', kind => {
  const device: Kind = kind === 'libsql' ? 'sqljs' : kind
  let database: DataSourceOptions
  let server: DataSource
  let url: string
  let requests: [method: string, url: string][]

  // devices know the server by one name, wherever it is
  const fetchThere: typeof globalThis.fetch = (input, init) => {
    requests.push([init?.method ?? 'GET', String(input)])
    return fetch(String(input).replace('http://server.test', url), init)
  }
  const newDevice = (entity = New, on = device) => openOn(on, [entity], { server: 'http://server.test', fetch: fetchThere })
  const start = async (entity: EntitySchema) => {
    server = await openIn(database, [entity])
    ;({ url } = await serve(server))
  }
  const upgrade = async () => {
    await server.destroy()
    await start(New)
  }
  const asked = async (of: DataSource) => {
    requests = []
    const report = await syncAll(of)
    expect(requests).toHaveLength(1)
    return report
  }

  beforeEach(async () => {
    requests = []
    database = await databaseOn(kind)
    await start(Old)
  })

  test('the value waits on the client that wrote it, and says so, until the server has the column', async () => {
    const alice = await newDevice()
    const jobs = alice.getRepository(New)
    await jobs.save({ id: '1', name: 'one', priority: 6 })
    expect(await syncAll(alice)).toMatchObject({ pushed: 1, unknownThere: ['priority'] })
    expect(await journal(jobs).pending()).toMatchObject([{ id: '1', ignored: ['priority'] }])
    expect(await hasLocalChanges(alice)).toBe(true)
    // quiet: one question, nothing is pushed again
    expect(await asked(alice)).toMatchObject({ pulled: 0, pushed: 0, unknownThere: ['priority'] })
    // what others change comes, and leaves it alone
    await sql(server, 'UPDATE "job" SET "name" = ? WHERE "id" = ?', ['eins', '1'])
    expect(await syncAll(alice)).toMatchObject({ pulled: 1, conflicts: 0, unapplied: 0 })
    expect(await rowsOf(alice)).toEqual([{ id: '1', name: 'eins', priority: 6 }])
    // and what changes here in the meantime is kept as well
    await jobs.update('1', { name: 'uno', priority: 7 })
    expect(await syncAll(alice)).toMatchObject({ pushed: 1, unknownThere: ['priority'] })
    await upgrade()
    expect(await rowsOf(server)).toEqual([{ id: '1', name: 'uno', priority: 1 }])
    expect(await syncAll(alice)).toMatchObject({ pushed: 1, conflicts: 0, unapplied: 0, unknownThere: [] })
    expect(await rowsOf(server)).toEqual([{ id: '1', name: 'uno', priority: 7 }])
    expect(await rowsOf(alice)).toEqual([{ id: '1', name: 'uno', priority: 7 }])
    expect(await journal(jobs).pending()).toEqual([])
    expect(await hasLocalChanges(alice)).toBe(false)
    expect(await asked(alice)).toMatchObject({ pulled: 0, pushed: 0, unknownThere: [] })
    // an ordinary question again, answered with 304
    expect(requests[0]?.[1]).not.toContain('properties')
  })

  test('a lost answer leaves out no value', async () => {
    const alice = await newDevice()
    await alice.getRepository(New).save([
      { id: '1', priority: 6 },
      { id: '2', priority: 5 },
    ])
    const lost = syncAll(alice, undefined, {
      fetch: async (input, init) => {
        const answer = await fetchThere(input, init)
        if (init?.method === 'POST') throw new TypeError('fetch failed')
        return answer
      },
    })
    await expect(lost).rejects.toMatchObject({ code: 'network' })
    expect(await syncAll(alice)).toMatchObject({ pushed: 2, unknownThere: ['priority'] })
    await upgrade()
    await syncAll(alice)
    expect((await rowsOf(server)).map(r => r.priority)).toEqual([6, 5])
  })

  test('what another client wrote meanwhile is a conflict, and neither side is lost', async () => {
    const alice = await newDevice()
    await alice.getRepository(New).save([
      { id: '1', priority: 6 },
      { id: '2', priority: 6 },
      { id: '3', priority: 6 },
    ])
    await syncAll(alice)
    await upgrade()
    const bob = await newDevice()
    await syncAll(bob)
    await bob.getRepository(New).update(['1', '3'], { priority: 9 })
    await bob.getRepository(New).update('2', { name: 'Bob’s' })
    await syncAll(bob)
    const seen: unknown[] = []
    const report = await syncAll(alice, (conflicts, updates) => {
      for (const c of conflicts) {
        seen.push([c.id, c.properties, c.local?.priority, c.remote?.priority])
        if (c.id === '3') c.takeRemote()
        else preferLocalConflictHandler([c], updates, () => {})
      }
    })
    expect(report).toMatchObject({ unknownThere: [] })
    expect(seen).toContainEqual(['1', ['priority'], 6, 9])
    await syncAll(alice)
    expect(await rowsOf(server)).toEqual([
      { id: '1', name: '', priority: 6 },
      { id: '2', name: 'Bob’s', priority: 6 },
      { id: '3', name: '', priority: 9 },
    ])
    expect(await rowsOf(alice)).toEqual(await rowsOf(server))
    expect(await asked(alice)).toMatchObject({ pushed: 0, unknownThere: [] })
  })

  test('a row that is removed loses its ignored values', async () => {
    const alice = await newDevice()
    const jobs = alice.getRepository(New)
    await jobs.save([
      { id: '1', priority: 6 },
      { id: '2', priority: 6 },
    ])
    await syncAll(alice)
    await jobs.delete('1')
    await sql(server, 'DELETE FROM "job" WHERE "id" = ?', ['2'])
    expect(await syncAll(alice)).toMatchObject({ pulled: 1, pushed: 1, conflicts: 0, unknownThere: [] })
    expect(await journal(jobs).pending()).toEqual([])
    await upgrade()
    expect(await asked(alice)).toMatchObject({ pulled: 0, pushed: 0 })
  })

  test('a value of which the server never heard, for the row was made there as well, waits until it has the column', async () => {
    const alice = await newDevice()
    const jobs = alice.getRepository(New)
    await server.getRepository(Old).save([
      { id: '1', name: 'remote' },
      { id: '2', name: 'the same' },
    ])
    await jobs.save([
      { id: '1', name: 'local', priority: 6 },
      { id: '2', name: 'the same', priority: 7 },
    ])
    expect(await syncAll(alice, preferRemoteConflictHandler)).toMatchObject({ conflicts: 1, unapplied: 0, unknownThere: ['priority'] })
    expect(await journal(jobs).pending()).toMatchObject([
      { id: '1', ignored: ['priority'] },
      { id: '2', ignored: ['priority'] },
    ])
    expect(await asked(alice)).toMatchObject({ pulled: 0, pushed: 0, unknownThere: ['priority'] })
    await upgrade()
    const bob = await newDevice()
    await syncAll(bob)
    await bob.getRepository(New).update('1', { name: 'Bob’s' })
    await syncAll(bob)
    await syncAll(alice, preferLocalConflictHandler)
    const all = [
      { id: '1', name: 'Bob’s', priority: 6 },
      { id: '2', name: 'the same', priority: 7 },
    ]
    expect(await rowsOf(alice)).toEqual(all)
    expect(await rowsOf(server)).toEqual(all)
    expect(await asked(alice)).toMatchObject({ pulled: 0, pushed: 0, unknownThere: [] })
  })

  test('a removal there drops no edit of an ignored value', async () => {
    const alice = await newDevice()
    const jobs = alice.getRepository(New)
    await jobs.save({ id: '1', priority: 6 })
    await syncAll(alice)
    await jobs.update('1', { priority: 7 })
    await sql(server, 'DELETE FROM "job" WHERE "id" = ?', ['1'])
    expect(await syncAll(alice)).toMatchObject({ unapplied: 1 })
    expect(await syncAll(alice)).toMatchObject({ unapplied: 1 })
    expect(await syncAll(alice, preferLocalConflictHandler)).toMatchObject({ conflicts: 1, unapplied: 0 })
    await upgrade()
    await syncAll(alice)
    expect(await rowsOf(server)).toEqual([{ id: '1', name: '', priority: 7 }])
    expect(await rowsOf(alice)).toEqual(await rowsOf(server))
  })

  test('an older client says what it passes over, and reads it when it has the column', async () => {
    await upgrade()
    await server.getRepository(New).save({ id: '1', name: 'one', priority: 6 })
    const own = await databaseOn(kind)
    const options = { server: 'http://server.test', fetch: fetchThere }
    const before = await openIn(own, [Old], options)
    expect(await syncAll(before)).toMatchObject({ pulled: 1, unknownHere: ['priority'] })
    await before.getRepository(Old).update('1', { name: 'eins' })
    expect(await syncAll(before)).toMatchObject({ pushed: 1, unknownThere: [] })
    await before.destroy()
    const after = await openIn(own, [New], options)
    expect(await syncAll(after)).toMatchObject({ pulled: 1, conflicts: 0, unknownHere: [] })
    expect(await rowsOf(after)).toEqual([{ id: '1', name: 'eins', priority: 6 }])
    expect(await rowsOf(server)).toEqual([{ id: '1', name: 'eins', priority: 6 }])
  })

  test('a relay that gets the column later than the server above and the device below passes the value on then', async () => {
    await upgrade()
    const upper = url
    const own = await databaseOn(kind)
    let relay = await openIn(own, [Old], { server: upper })
    ;({ url } = await serve(relay))
    const alice = await newDevice()
    await alice.getRepository(New).save({ id: '1', name: 'one', priority: 6 })
    await server.getRepository(New).save({ id: '2', name: 'two', priority: 8 })
    await syncAll(alice)
    expect(await syncAll(relay)).toMatchObject({ pulled: 1, pushed: 1, unknownHere: ['priority'] })
    await syncAll(alice)
    await relay.destroy()
    relay = await openIn(own, [New], { server: upper })
    ;({ url } = await serve(relay))
    for (let round = 0; round < 3; round++)
      for (const each of [alice, relay]) expect(await syncAll(each)).toMatchObject({ unapplied: 0, conflicts: 0 })
    const all = [
      { id: '1', name: 'one', priority: 6 },
      { id: '2', name: 'two', priority: 8 },
    ]
    for (const each of [server, relay, alice]) expect(await rowsOf(each)).toEqual(all)
    expect(await asked(alice)).toMatchObject({ pulled: 0, pushed: 0, unknownThere: [] })
  })
})
