// Devices that hear of news, over real HTTP: what one writes the others show, and nobody calls syncAll.

import { once } from 'node:events'
import { createServer as createHttp, type Server } from 'node:http'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { afterEach, expect, test } from '@jest/globals'
import Koa, { type Context, type Middleware } from 'koa'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync, type KeepSyncedOptions, type KeptSynced, keepSynced } from 'typeorm-sync'
import { rule, type SyncRoutesOptions, syncRoutes } from 'typeorm-sync/server-koa'
import { device, serverDatabase } from '../stories/devices.js'
import { sleep, until } from '../support/until.js'

interface Task {
  id: string
  owner: string
}
const Task = new EntitySchema<Task>({
  ...{ name: 'KeptLive', tableName: 'kept_live' },
  columns: { id: { type: 'varchar', length: 64, primary: true }, owner: { type: 'varchar', length: 64 } },
})
enableSync(Task, '/keptLive', { scopes: ['owner'] })

const open: (() => unknown)[] = []
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
})

interface Asked {
  readonly line: string
  readonly at: number
  readonly user: string
}

/** A server that may be stopped and started, behind a network that may be cut. */
async function world(options: Partial<SyncRoutesOptions> = { public: true }, before: Middleware = (_, next) => next()) {
  const there = await serverDatabase([Task])
  const asked: Asked[] = []
  const app = new Koa()
  app.silent = true
  app.use((ctx, next) => {
    const kind = ctx.get('accept').includes('event-stream') ? 'STREAM' : ctx.get('prefer') ? 'WAIT' : ctx.method
    asked.push({ line: kind, at: Date.now(), user: ctx.get('user') })
    return next()
  })
  app.use(before)
  app.use(syncRoutes(there, { watchInterval: 50, ...options } as any))
  let server: Server
  let port = 0
  const start = async () => {
    server = createHttp(app.callback()).listen(port, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
  }
  const stop = async () => {
    const closed = once(server, 'close')
    server.close()
    setTimeout(() => server.closeAllConnections(), 500).unref()
    await closed
  }
  await start()
  const network = await newNetwork(() => port)
  open.push(async () => {
    network.close()
    if (server.listening) await stop()
    await there.destroy()
  })
  const newDevice = async (more = {}) => {
    const dataSource = await device([Task], network.url, more)
    open.push(() => dataSource.isInitialized && dataSource.destroy())
    return dataSource
  }
  const linesOf = (user = '') => asked.filter(a => a.user === user).map(a => a.line)
  return { there, asked, linesOf, start, stop, network, newDevice }
}

async function newNetwork(port: () => number) {
  const sockets = new Set<Socket>()
  let isCut = false
  const proxy = createServer(socket => {
    if (isCut) return void socket.destroy()
    const other = connect(port(), '127.0.0.1')
    for (const [from, to] of [
      [socket, other],
      [other, socket],
    ] as const) {
      sockets.add(from)
      from.pipe(to)
      from.on('error', () => to.destroy()).on('close', () => to.destroy() && sockets.delete(from))
    }
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  const set = (cut: boolean) => {
    isCut = cut
    if (cut) for (const socket of sockets) socket.destroy()
  }
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    set,
    get connections() {
      return sockets.size / 2
    },
    close() {
      set(true)
      proxy.close()
    },
  }
}

function keep(dataSource: DataSource, options: KeepSyncedOptions = {}): KeptSynced {
  const kept = keepSynced(dataSource, { debounce: 20, random: () => 0.1, ...options })
  open.push(() => kept.stop())
  return kept
}

const idsIn = async (dataSource: DataSource) => (await dataSource.getRepository(Task).find({ order: { id: 'ASC' } })).map(t => t.id)
const has = (dataSource: DataSource, id: string) => dataSource.getRepository(Task).existsBy({ id })
const add = (dataSource: DataSource, id: string, owner = 'alice') => dataSource.getRepository(Task).insert({ id, owner })

async function liveDevices(w: Awaited<ReturnType<typeof world>>, count = 2, options: KeepSyncedOptions = {}) {
  const devices: DataSource[] = []
  for (let i = 0; i < count; i++) devices.push(await w.newDevice())
  const kept = devices.map(each => keep(each, options))
  await until(() => kept.every(k => k.status.isLive && k.status.state === 'idle'))
  return { devices: devices as [DataSource, DataSource], kept: kept as [KeptSynced, KeptSynced] }
}

test('two devices show each other’s edits, and what the application writes, and ask for nothing else', async () => {
  const w = await world()
  const {
    devices: [one, two],
    kept,
  } = await liveDevices(w)
  for (let i = 0; i < 10; i++) {
    await add(i % 2 ? one : two, `t${i}`)
    await until(async () => (await has(one, `t${i}`)) && (await has(two, `t${i}`)))
  }
  await add(w.there, 'host')
  await until(async () => (await has(one, 'host')) && (await has(two, 'host')))
  await two.getRepository(Task).delete('t0')
  await until(async () => !(await has(one, 't0')))
  await until(() => kept.every(k => k.status.state === 'idle'))
  await sleep(300)
  // each writes once, and reads once what the other wrote: its own is no news
  const count = (line: string) => w.linesOf().filter(l => l === line).length
  expect(count('POST')).toBe(11)
  expect(count('STREAM')).toBe(2)
  const before = w.asked.length
  await add(one, 'last')
  await until(() => has(two, 'last'))
  await until(() => w.asked.length >= before + 3)
  await sleep(500)
  expect(w.linesOf().slice(before).sort()).toEqual(['GET', 'GET', 'POST'])
})

test('a network that is cut, and comes back', async () => {
  const w = await world()
  const {
    devices: [one, two],
    kept,
  } = await liveDevices(w)
  w.network.set(true)
  await until(() => kept.every(k => k.status.state === 'offline' && !k.status.isLive))
  await add(one, 'offline')
  await until(() => kept[0].status.pending === 1)
  w.network.set(false)
  await until(() => has(two, 'offline'))
  await until(() => kept.every(k => k.status.isLive && k.status.state === 'idle' && !k.status.lastError))
})

test('a server that stops, and starts again', async () => {
  const w = await world()
  const {
    devices: [one, two],
    kept,
  } = await liveDevices(w)
  await w.stop()
  await add(one, 'meanwhile')
  await until(() => kept[0].status.state === 'offline')
  await until(() => !kept.some(k => k.status.isLive))
  await w.start()
  await until(() => has(two, 'meanwhile'))
  await until(() => kept.every(k => k.status.isLive))
})

test('nobody hears of others’ rows, nor asks on their account', async () => {
  const principal = (ctx: Context) => ({ id: ctx.get('user') })
  const w = await world({ principal, rules: [rule<Task>(Task, { read: p => ({ owner: p.id }) })] })
  const [alice, bob] = [await w.newDevice({ headers: { user: 'alice' } }), await w.newDevice({ headers: { user: 'bob' } })]
  const kept = [keep(alice), keep(bob)]
  await until(() => kept.every(k => k.status.isLive && k.status.state === 'idle'))
  const before = w.linesOf('bob').length
  await add(alice, 'of alice')
  await add(w.there, 'of alice too')
  await until(() => has(alice, 'of alice too'))
  await sleep(400)
  expect([w.linesOf('bob').length, await idsIn(bob)]).toEqual([before, []])
  await w.there.getRepository(Task).update('of alice too', { owner: 'bob' })
  await until(async () => (await has(bob, 'of alice too')) && !(await has(alice, 'of alice too')))
})

test('a token that ends while somebody listens is renewed; where it is not, the device is signed out', async () => {
  let canRenew = true
  let token = { user: 'alice', expires: String(Date.now() + 1_500) }
  const principal = (ctx: Context) => ({ id: ctx.get('user'), expires: Number(ctx.get('expires')) })
  const w = await world({ principal, rules: [rule<Task>(Task, { read: () => true })] })
  const headers = ({ renew }: { renew: boolean }) => {
    if (renew && canRenew) token = { user: 'alice', expires: String(Date.now() + 1_500) }
    return token
  }
  const here = await w.newDevice({ headers })
  const kept = keep(here)
  await until(() => kept.status.isLive)
  await until(() => w.linesOf('alice').filter(line => line === 'STREAM').length >= 2)
  await until(() => kept.status.isLive && kept.status.state === 'idle')
  await add(w.there, 'heard')
  await until(() => has(here, 'heard'))
  canRenew = false
  await until(() => kept.status.state === 'signed-out')
  // what was asked before
  let before: number
  do {
    before = w.asked.length
    await sleep(200)
  } while (w.asked.length > before)
  await add(here, 'signed out')
  await sleep(500)
  expect([w.asked.length, kept.status.isLive]).toEqual([before, false])
  canRenew = true
  kept.wake()
  await until(() => has(w.there, 'signed out'))
  await until(() => kept.status.isLive)
})

test('a server that has no seat free is asked again when it said, and no sooner; syncs go on', async () => {
  const w = await world({ public: true }, async (ctx, next) => {
    if (!ctx.get('accept').includes('event-stream') || w.linesOf().filter(line => line === 'STREAM').length > 1) return next()
    ctx.status = 503
    ctx.set('Retry-After', '2')
  })
  const here = await w.newDevice()
  const kept = keep(here)
  await until(() => w.linesOf().includes('STREAM'))
  await add(here, 'pushed')
  await until(() => has(w.there, 'pushed'))
  await until(() => kept.status.state === 'idle' && !kept.status.isLive)
  await until(() => kept.status.isLive)
  const [first, second] = w.asked.filter(a => a.line === 'STREAM').map(a => a.at)
  expect((second as number) - (first as number)).toBeGreaterThan(1_950)
})

test('a server that knows nothing of this is asked in intervals', async () => {
  const w = await world({ public: true }, async (ctx, next) => {
    ctx.req.headers.accept = ctx.get('accept').replace('text/event-stream', 'text/html')
    delete ctx.req.headers.prefer
    await next()
  })
  const here = await w.newDevice()
  const kept = keep(here, { interval: 200 })
  await until(() => w.linesOf().includes('WAIT'))
  await add(w.there, 'there')
  await until(() => has(here, 'there'))
  expect(w.linesOf().filter(line => line === 'STREAM' || line === 'WAIT')).toEqual(['STREAM', 'WAIT'])
  await until(() => kept.status.state === 'idle')
  expect(kept.status.isLive).toBe(false)
})

test('where a stream is held up on the way, requests wait instead, for good', async () => {
  const w = await world({ public: true }, async (ctx, next) => {
    if (!ctx.get('accept').includes('event-stream')) return next()
    ctx.respond = false // as a proxy that waits for the end of it
    ctx.res.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
  })
  const [one, two] = [await w.newDevice(), await w.newDevice()]
  const kept = [keep(one), keep(two)]
  await until(() => kept.every(k => k.status.isLive))
  for (const id of ['a', 'b', 'c']) {
    await add(one, id)
    await until(() => has(two, id))
  }
  expect(kept.every(k => k.status.isLive)).toBe(true)
  expect(w.linesOf().filter(line => line === 'STREAM')).toHaveLength(2)
  expect(w.linesOf().filter(line => line === 'WAIT').length).toBeLessThan(16)
})

test('stop ends the stream, and leaves nothing', async () => {
  const w = await world()
  const { kept } = await liveDevices(w)
  for (const each of kept) await each.stop()
  await until(() => w.network.connections === 0)
  const before = w.asked.length
  await add(w.there, 'unheard')
  await sleep(200)
  expect([w.asked.length, kept[0].status.isLive]).toEqual([before, false])
})
