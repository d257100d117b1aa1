// keepSynced over real HTTP: when it syncs, when it does not, and what its status says.

import { once } from 'node:events'
import type { Server } from 'node:http'
import { afterEach, describe, expect, test } from '@jest/globals'
import type { Context, Middleware } from 'koa'
import Koa from 'koa'
import { type DataSource, EntitySchema } from 'typeorm'
import {
  AuthenticationError,
  enableSync,
  type KeepSyncedOptions,
  type KeptStatus,
  type KeptSynced,
  keepSynced,
  NetworkError,
  OtherUserError,
  SyncConfigurationError,
  syncAll,
  wipe,
} from 'typeorm-sync'
import { syncRoutes } from 'typeorm-sync/server-koa'
import { device, serverDatabase, startServer, startServerOn } from '../stories/devices.js'
import { freePort } from '../support/freePort.js'
import { sleep, until } from '../support/until.js'

interface Task {
  id: string
  name: string
}
const Task = new EntitySchema<Task>({
  ...{ name: 'Kept', tableName: 'kept' },
  columns: { id: { type: 'varchar', length: 64, primary: true }, name: { type: 'varchar', length: 64, nullable: true } },
})
enableSync(Task, '/kept')

/** The same table, as an older server has it. */
const Older = new EntitySchema<Pick<Task, 'id'>>({
  ...{ name: 'OlderKept', tableName: 'kept' },
  columns: { id: { type: 'varchar', length: 64, primary: true } },
})
enableSync(Older, '/kept')

const open: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

/** A server, what it was asked, and when. `before` answers in its stead. */
async function world() {
  const asked: string[] = []
  const times: number[] = []
  const gate: { before: Middleware | undefined } = { before: undefined }
  const count: Middleware = async (ctx, next) => {
    asked.push(`${ctx.method} ${ctx.path}`)
    times.push(Date.now())
    await (gate.before ? gate.before(ctx, next) : next())
  }
  const server = await startServer([Task], { before: [count] })
  open.push(() => server.stop())
  const newDevice = async (options = {}, url = server.url) => {
    const dataSource = await device([Task], url, options)
    open.push(async () => dataSource.isInitialized && (await dataSource.destroy()))
    return dataSource
  }
  return { ...server, asked, times, gate, newDevice }
}

function keep(dataSource: DataSource, options: KeepSyncedOptions = {}): KeptSynced {
  const kept = keepSynced(dataSource, { debounce: 20, random: () => 0.5, live: false, ...options })
  open.push(() => kept.stop())
  return kept
}

const namesIn = async (dataSource: DataSource) => (await dataSource.getRepository(Task).find({ order: { id: 'ASC' } })).map(t => t.name)
const pushes = (asked: readonly string[]) => asked.filter(line => line.startsWith('POST')).length

describe('syncs', () => {
  test('at the start, and soon after local commits of any kind', async () => {
    const { dataSource: there, newDevice, asked } = await world()
    await there.getRepository(Task).insert({ id: 'a', name: 'there' })
    const here = await newDevice()
    const kept = keep(here)
    await until(async () => (await namesIn(here)).length === 1)
    await here.getRepository(Task).save({ id: 'b', name: 'saved' })
    await until(async () => (await namesIn(there)).includes('saved'))
    await here.query(`INSERT INTO kept (id, name) VALUES ('c', 'raw')`)
    await until(async () => (await namesIn(there)).includes('raw'))
    await until(() => kept.status.state === 'idle')
    expect(kept.status).toMatchObject({ pending: 0, lastError: undefined, lastSuccess: expect.any(Date) })
    expect(pushes(asked)).toBe(2)
    // nothing is asked where nothing is to be pushed
    const before = asked.length
    await sleep(300)
    expect(asked.length).toBe(before)
  })

  test('once for commits that follow one another, and while a sync runs', async () => {
    const { dataSource: there, newDevice, asked, gate } = await world()
    const here = await newDevice()
    const kept = keep(here, { debounce: 500 })
    await until(() => kept.status.lastSuccess)
    for (let i = 0; i < 10; i++) {
      await here.getRepository(Task).insert({ id: `${i}`, name: 'quick' })
      await sleep(10)
    }
    await until(async () => (await namesIn(there)).length === 10)
    expect(pushes(asked)).toBe(1)
    gate.before = async (ctx, next) => {
      if (ctx.method === 'POST') await here.getRepository(Task).upsert({ id: 'late', name: 'committed meanwhile' }, ['id'])
      await next()
    }
    await here.getRepository(Task).update('1', { name: 'again' })
    await until(async () => (await namesIn(there)).includes('committed meanwhile'))
  })

  test('in intervals', async () => {
    const { dataSource: there, newDevice } = await world()
    const here = await newDevice()
    const kept = keep(here, { interval: 100 })
    await until(() => kept.status.lastSuccess)
    await there.getRepository(Task).insert({ id: 'a', name: 'there' })
    await until(async () => (await namesIn(here)).length === 1)
  })

  test('when the connection or the page comes back', async () => {
    const { dataSource: there, newDevice } = await world()
    const here = await newDevice()
    const [page, document] = [new EventTarget(), new EventTarget()]
    const names = ['addEventListener', 'removeEventListener'] as const
    for (const name of names) Object.assign(globalThis, { [name]: page[name].bind(page) })
    Object.assign(globalThis, { document })
    try {
      const kept = keep(here)
      await until(() => kept.status.lastSuccess)
      page.dispatchEvent(new Event('offline'))
      expect(kept.status.state).toBe('offline')
      await there.getRepository(Task).insert({ id: 'a', name: 'there' })
      page.dispatchEvent(new Event('online'))
      await until(async () => (await namesIn(here)).length === 1)
      await until(() => kept.status.state === 'idle')
      await there.getRepository(Task).insert({ id: 'b', name: 'there' })
      document.dispatchEvent(new Event('visibilitychange'))
      await until(async () => (await namesIn(here)).length === 2)
      await kept.stop()
    } finally {
      for (const name of [...names, 'document']) delete (globalThis as Record<string, unknown>)[name]
    }
  })
})

describe('does not stop at a failure:', () => {
  test('the server is away, and comes back', async () => {
    const port = await freePort()
    const there = await serverDatabase([Task])
    const start = async () => {
      const server = new Koa().use(syncRoutes(there, { public: true })).listen(port, '127.0.0.1')
      await once(server, 'listening')
      return server
    }
    const end = async (server: Server) => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
    const here = await device([Task], `http://127.0.0.1:${port}`)
    open.push(() => there.destroy())
    await here.getRepository(Task).insert({ id: 'a', name: 'offline' })
    const kept = keep(here, { random: () => 0.1 })
    open.push(() => here.destroy())
    await until(() => kept.status.state === 'offline')
    expect(kept.status).toMatchObject({ pending: 1, lastError: expect.any(NetworkError), lastSuccess: undefined })
    let server = await start()
    await until(async () => (await namesIn(there)).length === 1)
    await until(() => kept.status.state === 'idle')
    await end(server)
    await here.getRepository(Task).insert({ id: 'b', name: 'offline again' })
    await until(() => kept.status.state === 'offline' && kept.status.pending === 1)
    server = await start()
    await until(async () => (await namesIn(there)).length === 2)
    await kept.stop()
    await end(server)
  })

  test('it waits for as long as a 503 says, and longer each time', async () => {
    const { newDevice, asked, times, gate } = await world()
    const here = await newDevice()
    const unavailable = (retryAfter?: string) => async (ctx: Context) => {
      ctx.status = 503
      if (retryAfter) ctx.set('Retry-After', retryAfter)
    }
    gate.before = unavailable('1')
    const start = Date.now()
    const kept = keep(here, { random: () => 0, maxRetryDelay: 0 })
    await until(() => kept.status.state === 'offline')
    await here.getRepository(Task).insert({ id: 'a', name: 'impatient' })
    await until(() => kept.status.pending === 1)
    await until(() => asked.length > 1)
    expect(Date.now() - start).toBeGreaterThan(990)
    gate.before = undefined
    kept.wake()
    await until(() => kept.status.state === 'idle')
    // 1 s at most after the first failure, 2 s after the second
    gate.before = unavailable()
    times.splice(0)
    const slow = keep(await newDevice(), { random: () => 0.5 })
    await until(() => times.length > 2)
    const [first, second, third] = times as [number, number, number]
    expect(second - first).toBeGreaterThan(480)
    expect(third - second).toBeGreaterThan(980)
    await slow.stop()
  })

  test('after a 401 it is signed out, asks no more, and goes on with another token', async () => {
    const { dataSource: there, newDevice, asked, gate } = await world()
    let token = 'good'
    const here = await newDevice({ headers: () => ({ authorization: token }) })
    gate.before = async (ctx, next) => {
      if (ctx.get('authorization') !== 'bad') return next()
      ctx.status = 401
    }
    const kept = keep(here, { interval: 100 })
    await until(() => kept.status.lastSuccess)
    token = 'bad'
    await until(() => kept.status.state === 'signed-out')
    expect(kept.status.lastError).toBeInstanceOf(AuthenticationError)
    const before = asked.length
    await here.getRepository(Task).insert({ id: 'a', name: 'signed out' })
    await until(() => kept.status.pending === 1)
    await sleep(400)
    expect([asked.length, kept.status.state]).toEqual([before, 'signed-out'])
    token = 'new'
    await until(async () => (await namesIn(there)).length === 1)
    await until(() => kept.status.state === 'idle')
    // or as soon as it is told
    token = 'bad'
    await until(() => kept.status.state === 'signed-out')
    token = 'newer'
    kept.wake()
    await until(() => kept.status.state === 'idle')
  })

  test('rows of another user are no reason to hammer', async () => {
    const there = await serverDatabase([Task])
    const asked: string[] = []
    const app = new Koa().use((ctx, next) => {
      asked.push(ctx.path)
      return next()
    })
    const server = app.use(syncRoutes(there, { public: true, principal: ctx => ({ id: ctx.get('user') }) })).listen(0, '127.0.0.1')
    await once(server, 'listening')
    open.push(async () => {
      server.closeAllConnections()
      server.close()
      await there.destroy()
    })
    let user = 'alice'
    const here = await device([Task], `http://127.0.0.1:${(server.address() as { port: number }).port}`, { headers: () => ({ user }) })
    open.push(() => here.destroy())
    const kept = keep(here, { interval: 50 })
    await until(() => kept.status.lastSuccess)
    user = 'bob'
    await until(() => kept.status.state === 'failed')
    expect(kept.status.lastError).toBeInstanceOf(OtherUserError)
    const before = asked.length
    await here.getRepository(Task).insert({ id: 'a', name: 'of alice' })
    await sleep(400)
    expect(asked.length).toBe(before)
    await wipe(here, () => true)
    kept.wake()
    await until(() => kept.status.state === 'idle')
  })
})

describe('the status', () => {
  test('is told of, and is the same object until it is another status', async () => {
    const { newDevice, dataSource: there } = await world()
    const here = await newDevice()
    const kept = keep(here)
    const told: KeptStatus[] = []
    const end = kept.subscribe(status => told.push(status))
    await until(() => kept.status.state === 'idle' && kept.status.lastSuccess)
    expect(told.map(status => status.state)).toEqual(['syncing', 'idle'])
    expect(told.at(-1)).toBe(kept.status)
    end()
    await there.query('CREATE UNIQUE INDEX one_name ON kept (name)')
    await there.getRepository(Task).insert({ id: 'there', name: 'same' })
    await here.getRepository(Task).insert({ id: 'here', name: 'same' })
    await until(() => kept.status.rejected === 1)
    expect([told.length, kept.status.pending]).toEqual([2, 0])
    await here.getRepository(Task).insert({ id: 'both', name: 'x' })
    await until(() => kept.status.pending === 0 && kept.status.state === 'idle')
    await syncAll(here)
    await kept.stop()
    for (const [dataSource, name] of [
      [here, 'y'],
      [there, 'z'],
    ] as const)
      await dataSource.getRepository(Task).update('both', { name })
    const again = keep(here)
    await until(() => again.status.conflicts === 1)
    expect(again.status).toMatchObject({ deferred: 0, rejected: 1, pending: 0 })
  })

  test('what stays pending, for the server has no column for it, is pushed in intervals alone', async () => {
    const there = await serverDatabase([Older])
    const server = await startServerOn(there, [])
    open.push(() => server.stop())
    const here = await device([Task], server.url)
    open.push(() => here.destroy())
    const syncs: string[] = []
    const kept = keep(here)
    await until(() => kept.status.lastSuccess)
    kept.subscribe(({ state }) => syncs.push(state))
    await here.getRepository(Task).insert({ id: 'a', name: 'ignored' })
    await until(async () => (await there.getRepository(Older).count()) === 1)
    await until(() => kept.status.state === 'idle' && kept.status.pending === 1)
    await sleep(400)
    expect(syncs.filter(state => state === 'syncing').length).toBeLessThanOrEqual(2)
    expect(kept.status).toMatchObject({ state: 'idle', pending: 1 })
  })
})

describe('stops', () => {
  test('in the middle of a request, and leaves nothing that runs', async () => {
    const { newDevice, asked, gate } = await world()
    const here = await newDevice()
    let isHeld = false
    gate.before = async ctx => {
      isHeld = true
      await sleep(500)
      ctx.status = 503
    }
    const controller = new AbortController()
    const kept = keep(here, { signal: controller.signal })
    await until(() => isHeld)
    controller.abort()
    await kept.stop()
    await here.getRepository(Task).insert({ id: 'a', name: 'unheard' })
    kept.wake()
    await sleep(100)
    expect(asked).toHaveLength(1)
    expect(kept.status.state).toBe('idle')
  })

  test('with a signal that was aborted before', async () => {
    const { newDevice, asked } = await world()
    const kept = keep(await newDevice(), { signal: AbortSignal.abort() })
    await kept.stop()
    await sleep(50)
    expect(asked).toEqual([])
  })

  test('nothing is kept of a data source that is not open, or by impossible options', async () => {
    const { newDevice } = await world()
    const here = await newDevice()
    expect(() => keepSynced(here, { interval: 0 })).toThrow(SyncConfigurationError)
    await here.destroy()
    expect(() => keepSynced(here)).toThrow(SyncConfigurationError)
  })

  test('not at all, and yet its timers keep no process alive', async () => {
    const { newDevice, gate } = await world()
    const here = await newDevice()
    const timers = () => process.getActiveResourcesInfo().filter(name => name === 'Timeout').length
    const before = timers()
    const kept = keep(here)
    await until(() => kept.status.lastSuccess)
    await until(() => timers() === before)
    // nor those of a device that waits after a failure
    gate.before = async ctx => {
      ctx.status = 503
    }
    kept.wake()
    await until(() => kept.status.state === 'offline')
    await until(() => timers() === before)
  })
})
