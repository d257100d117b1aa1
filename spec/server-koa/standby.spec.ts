import 'reflect-metadata'
import { once } from 'node:events'
import type { Server } from 'node:http'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import Koa from 'koa'
import { Column, DataSource, Entity, ManyToOne, PrimaryColumn, type Relation } from 'typeorm'
import { EnableSync, preferLocalConflictHandler, syncAll, withSync } from 'typeorm-sync'
import { health, syncRoutes } from 'typeorm-sync/server-koa'
import { listen } from '../support/events.js'
import { freePort } from '../support/freePort.js'
import { findBinaries, PostgresCluster } from '../support/postgresCluster.js'
import { LIMIT, until } from '../support/until.js'

@EnableSync('/lists')
@Entity('list')
class List {
  @PrimaryColumn() id!: string
  @Column() name!: string
}

@EnableSync('/entries')
@Entity('entry')
class Entry {
  @PrimaryColumn() id!: string
  @Column() name!: string
  @ManyToOne(() => List, { onDelete: 'CASCADE' }) list?: Relation<List> | null
}

const entities = [List, Entry]
const binaries = findBinaries()
if (!binaries) console.warn('left out: no programs of PostgreSQL that make a standby; PGBIN may say where they are')

interface Running {
  readonly dataSource: DataSource
  stop(): Promise<void>
}

/** A server on a database, at a port, with the errors that its application got. */
async function serve(cluster: PostgresCluster, port: number, synchronize = false): Promise<Running> {
  const dataSource = withSync(new DataSource({ type: 'postgres', url: cluster.url('team'), entities, synchronize }), { busyTimeout: 2_000 })
  await dataSource.initialize()
  const app = new Koa()
  app.on('error', () => {})
  app.use(health(dataSource))
  app.use(syncRoutes(dataSource, { public: true }).routes())
  const server: Server = app.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    dataSource,
    async stop() {
      server.close()
      server.closeAllConnections()
      await dataSource.destroy()
    },
  }
}

const described = binaries ? describe : describe.skip
described('a standby of PostgreSQL', () => {
  let primary: PostgresCluster
  let standby: PostgresCluster
  let port: number
  let standbyPort: number
  let running: Running[]
  let clients: DataSource[]
  beforeAll(async () => {
    ;[port, standbyPort] = [await freePort(), await freePort()]
  })
  // promoted, a standby is none any more: each test has its own
  beforeEach(async () => {
    running = []
    clients = []
    primary = await PostgresCluster.make(binaries!)
    await primary.query('CREATE DATABASE team')
    running.push(await serve(primary, port, true))
    standby = await primary.makeStandby()
    await standby.catchUp(primary)
  })
  afterEach(async () => {
    for (const each of clients) await each.destroy()
    for (const each of running) await each.stop()
    await standby?.remove()
    await primary?.remove()
  })

  const ask = async (to: number, path: string, options: RequestInit = {}) => {
    const answer = await fetch(`http://127.0.0.1:${to}${path}`, options)
    const text = await answer.text()
    return { status: answer.status, headers: answer.headers, json: text ? JSON.parse(text) : undefined }
  }
  const post = (to: number, path: string, rows: object[]) =>
    ask(to, path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(rows) })

  async function newClient(): Promise<DataSource> {
    const options = { server: `http://127.0.0.1:${port}`, retries: 0 }
    const client = await withSync(new DataSource({ type: 'sqljs', entities, synchronize: true }), options).initialize()
    clients.push(client)
    return client
  }
  const rowsOf = async (dataSource: DataSource) => [
    await dataSource.getRepository(List).find({ order: { id: 'ASC' } }),
    await dataSource.getRepository(Entry).find({ order: { id: 'ASC' }, relations: { list: true } }),
  ]

  test('answers questions, and sends pushes away', async () => {
    await post(port, '/lists', [{ id: 'shopping', name: 'Shopping' }])
    await standby.catchUp(primary)
    const [before] = await primary.query('SELECT * FROM sync_clock', [], 'team')
    running.push(await serve(standby, standbyPort))
    expect(await primary.query('SELECT * FROM sync_clock', [], 'team')).toEqual([before])

    const there = await ask(port, '/lists')
    const here = await ask(standbyPort, '/lists')
    expect(here).toMatchObject({ status: 200, json: { updates: [{ id: 'shopping', name: 'Shopping' }] } })
    expect(here.json).toEqual(there.json)
    expect(here.headers.get('etag')).toBe(there.headers.get('etag'))
    expect((await ask(standbyPort, '/health')).json).toMatchObject({ status: 'ok', replica: true, now: here.json.now })
    expect((await ask(port, '/health')).json).toMatchObject({ status: 'ok', replica: false })

    const pushed = await post(standbyPort, '/lists', [{ id: 'chores', name: 'Chores' }])
    expect(pushed).toMatchObject({ status: 503, json: { status: 503, title: 'Service Unavailable' } })
    expect(Number(pushed.headers.get('retry-after'))).toBeGreaterThan(0)
    expect((await ask(port, '/lists')).json.updates).toHaveLength(1)
  })

  test('tells who listens, and who waits, what the primary has stored', async () => {
    await post(port, '/lists', [{ id: 'chores', name: 'Chores' }])
    await standby.catchUp(primary)
    running.push(await serve(standby, standbyPort))
    const { json } = await ask(standbyPort, '/sync?since=0')
    const question = `/sync?since=${json.now}&collection=${json.collection}`
    const ear = await listen(`http://127.0.0.1:${standbyPort}${question}`)
    await until(() => ear.of('hello').length)
    const waiting = ask(standbyPort, question, { headers: { prefer: 'wait=55' } })
    await post(port, '/lists', [{ id: 'shopping', name: 'Shopping' }])
    await until(() => ear.of('changes').length)
    ear.close()
    expect(ear.of('changes')[0].changes).toEqual({ '/lists': expect.any(Number) })
    const start = Date.now()
    expect((await waiting).json.changes['/lists']).toMatchObject([{ id: 'shopping' }])
    expect(Date.now() - start).toBeLessThan(LIMIT)
  })

  test('that is behind the client says so, and never that the collection was reset', async () => {
    running.push(await serve(standby, standbyPort))
    const { json: old } = await ask(port, '/lists')
    await standby.query('SELECT pg_wal_replay_pause()')
    await post(port, '/lists', [{ id: 'shopping', name: 'Shopping' }])
    const { json: fresh } = await ask(port, '/lists')
    expect(fresh.now).toBeGreaterThan(old.now)
    for (const query of [`since=${fresh.now}`, `since=${old.now}&min=${fresh.now}`, `min=${fresh.now}&collection=${fresh.collection}`]) {
      const behind = await ask(standbyPort, `/lists?${query}`)
      expect(behind.status).toBe(503)
      expect(behind.headers.get('retry-after')).toBe('1')
    }
    // it answers with what it has
    expect((await ask(standbyPort, `/lists?since=${old.now}&min=${old.now}&collection=${old.collection}`)).json.reset).toBeUndefined()
    await standby.query('SELECT pg_wal_replay_resume()')
    await standby.catchUp(primary)
    expect((await ask(standbyPort, `/lists?min=${fresh.now}`)).json).toEqual(fresh)
  })

  test('takes over from a primary that died with pushes of its own, and the clients bring them back', async () => {
    const [alice, bob] = [await newClient(), await newClient()]
    await alice.getRepository(List).save([
      { id: 'shopping', name: 'Shopping' },
      { id: 'old', name: 'Of last year' },
    ])
    await alice.getRepository(Entry).save([
      { id: 'milk', name: 'Milk', list: { id: 'shopping' } },
      { id: 'bread', name: 'Bread', list: { id: 'shopping' } },
    ])
    for (const each of [alice, bob, alice]) await syncAll(each)
    await standby.catchUp(primary)
    const before = (await ask(port, '/health')).json

    await standby.disconnect()
    // the primary acknowledges what no standby will ever have
    await alice.getRepository(List).save({ id: 'chores', name: 'Chores' })
    await alice.getRepository(Entry).save({ id: 'milk', name: 'Oat milk' })
    await bob.getRepository(Entry).save({ id: 'sweep', name: 'Sweep', list: { id: 'shopping' } })
    await bob.getRepository(Entry).save({ id: 'bread', name: 'Rye bread' })
    for (const each of [alice, bob, alice]) await syncAll(each)
    // and some of it no client got
    await alice.getRepository(Entry).save({ id: 'dust', name: 'Dust', list: { id: 'chores' } })
    const there = await rowsOf(running[0]!.dataSource)

    await primary.stop()
    await running.pop()!.stop()
    await standby.promote()
    const promoted = await serve(standby, port)
    running.push(promoted)
    const after = (await ask(port, '/health')).json
    expect(after.replica).toBe(false)
    expect(after.collection).not.toBe(before.collection)
    expect(await rowsOf(promoted.dataSource)).not.toEqual(there)
    // a request with the old name gets a reset, though a stamp of the new history is above all that were sent
    await post(port, '/lists', [{ id: 'trips', name: 'Trips' }])
    expect((await ask(port, `/lists?since=${before.now}&collection=${before.collection}`)).json.reset).toBe('collection-changed')

    for (const each of [alice, bob, alice, bob]) await syncAll(each, preferLocalConflictHandler)
    const [lists, entries] = await rowsOf(alice)
    expect(lists).toEqual([
      { id: 'chores', name: 'Chores' },
      { id: 'old', name: 'Of last year' },
      { id: 'shopping', name: 'Shopping' },
      { id: 'trips', name: 'Trips' },
    ])
    expect(entries!.map((e: any) => [e.id, e.name, e.list?.id])).toEqual([
      ['bread', 'Rye bread', 'shopping'],
      ['dust', 'Dust', 'chores'],
      ['milk', 'Oat milk', 'shopping'],
      ['sweep', 'Sweep', 'shopping'],
    ])
    expect(await rowsOf(bob)).toEqual([lists, entries])
    expect(await rowsOf(promoted.dataSource)).toEqual([lists, entries])
  })

  test('that is promoted while a push has no answer lets the client find out that it is gone', async () => {
    const alice = await newClient()
    await alice.getRepository(List).save({ id: 'shopping', name: 'Shopping' })
    await syncAll(alice)
    await standby.catchUp(primary)
    await standby.disconnect()
    // stored, and the answer is lost
    const { fetch: original } = globalThis
    globalThis.fetch = async (input, init) => {
      const answer = await original(input, init)
      if (init?.method === 'POST') throw new TypeError('fetch failed')
      return answer
    }
    try {
      await alice.getRepository(List).save({ id: 'chores', name: 'Chores' })
      await expect(syncAll(alice)).rejects.toThrow()
    } finally {
      globalThis.fetch = original
    }
    expect((await ask(port, '/lists')).json.updates).toHaveLength(2)

    await primary.stop()
    await running.pop()!.stop()
    await standby.promote()
    running.push(await serve(standby, port))
    expect((await ask(port, '/lists')).json.updates).toHaveLength(1)
    await syncAll(alice, preferLocalConflictHandler)
    expect((await ask(port, '/lists')).json.updates).toMatchObject([{ id: 'shopping' }, { id: 'chores' }])
    expect(await rowsOf(alice)).toEqual(await rowsOf(running.at(-1)!.dataSource))
  })

  test('a server that runs on the standby goes on as it is promoted: from then on it stores pushes', async () => {
    const server = await serve(standby, standbyPort)
    running.push(server)
    expect((await post(standbyPort, '/lists', [{ id: 'chores', name: 'Chores' }])).status).toBe(503)
    const before = (await ask(standbyPort, '/health')).json
    await running.shift()!.stop()
    await primary.stop()
    await standby.promote()
    expect((await post(standbyPort, '/lists', [{ id: 'chores', name: 'Chores' }])).status).toBe(200)
    const after = (await ask(standbyPort, '/health')).json
    expect(after.replica).toBe(false)
    expect(after.collection).not.toBe(before.collection)
  })
})
