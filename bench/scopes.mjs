// What rules cost where most rows are others': W7, a poll with nothing new of a caller with 10 keys, against one of a public collection of 100
// rows; W7g, a caller is granted a list of 1,000 rows, against a first pull of 1,000 rows. Meanwhile others write. And W5 with rules: 20 clients
// change 10 rows each and sync, five times, all at once, where rules open all rows to all of them, against the same where everything is public.
//   node --expose-gc bench/scopes.mjs [--stores libsql,postgres] [--n 100000] [--users 10000] [--rounds 5] [--out results] [--tag WORD]

import 'reflect-metadata'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { median, number, table } from './harness/lib/report.mjs'

const require = createRequire(import.meta.url)
const { DataSource, EntitySchema } = require('typeorm')
const { enableSync, preferLocalConflictHandler, syncAll, withSync } = require('typeorm-sync')
const { keys, rule, syncRoutes } = require('typeorm-sync/server-koa')
const POLLS = 50 // in one sample
const KEYS = 10 // of each user
const GRANTED = 1_000 // rows
const CLIENTS = 20

const { values: option } = parseArgs({
  options: {
    stores: { type: 'string', default: process.env.POSTGRES_URL ? 'libsql,postgres' : 'libsql' },
    n: { type: 'string', default: '100000' },
    users: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '5' },
    out: { type: 'string', default: 'results' },
    tag: { type: 'string', default: '' },
  },
})
const [n, users] = [Number(option.n), Number(option.users)]

const text = { type: 'varchar', length: 64 }
const row = { id: { ...text, primary: true }, title: text }
const Member = new EntitySchema({
  ...{ name: 'Member', tableName: 'member', columns: { id: { ...text, primary: true }, user: text, list: text } },
  indices: [{ columns: ['user', 'list'] }],
})
const Item = new EntitySchema({ name: 'Item', tableName: 'item', columns: { ...row, list: text } })
const Public = new EntitySchema({ name: 'Public', tableName: 'public_item', columns: row })
enableSync(Item, '/items', { scopes: ['list'] })
enableSync(Public, '/public')

let databases = 0

async function databaseOf(store) {
  if (store === 'libsql') return { type: 'better-sqlite3', driver: require('libsql'), database: ':memory:' }
  const name = `sync_bench_${process.pid}_${++databases}`
  const admin = await new DataSource({ type: 'postgres', url: process.env.POSTGRES_URL }).initialize()
  await admin.query(`CREATE DATABASE ${name}`)
  await admin.destroy()
  return { type: 'postgres', url: new URL(`/${name}`, process.env.POSTGRES_URL).href, name }
}

async function drop({ name }) {
  if (!name) return
  const admin = await new DataSource({ type: 'postgres', url: process.env.POSTGRES_URL }).initialize()
  await admin.query(`DROP DATABASE ${name} WITH (FORCE)`)
  await admin.destroy()
}

async function insert(dataSource, entity, count, make) {
  for (let k = 0; k < count; k += 1_000)
    await dataSource.getRepository(entity).insert(Array.from({ length: Math.min(1_000, count - k) }, (_, j) => make(k + j)))
}

/** As many lists as users; each user is a member of 10, each list has n / users rows; and one more, `granted`, has 1,000. */
async function serve(store) {
  const { default: Koa } = await import('koa')
  const { name, ...options } = await databaseOf(store)
  const dataSource = await withSync(new DataSource({ ...options, entities: [Member, Item, Public], synchronize: true })).initialize()
  await insert(dataSource, Member, users * KEYS, k => ({ id: `m${k}`, user: `u${Math.floor(k / KEYS)}`, list: `l${(k * 7919) % users}` }))
  await insert(dataSource, Item, n, k => ({ id: `i${k}`, title: `Title of row ${k}`, list: `l${k % users}` }))
  await insert(dataSource, Item, GRANTED, k => ({ id: `g${k}`, title: `Title of row ${k}`, list: 'granted' }))
  await insert(dataSource, Public, 100, k => ({ id: `p${k}`, title: `Title of row ${k}` }))
  if (name) await dataSource.query('ANALYZE')
  const app = new Koa()
  app.use(syncRoutes(dataSource, { principal, rules, prefix: '/scoped' }))
  app.use(syncRoutes(dataSource, { public: true, prefix: '/open' }))
  const listening = app.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  return { url: `http://127.0.0.1:${listening.address().port}`, dataSource, listening, name }
}

/** Milliseconds until all clients of a server have changed their rows and synced, again and again. */
async function together(store, options) {
  const { default: Koa } = await import('koa')
  const { name, ...database } = await databaseOf(store)
  const there = await withSync(new DataSource({ ...database, entities: [Member, Item], synchronize: true })).initialize()
  await insert(there, Member, CLIENTS, k => ({ id: `m${k}`, user: `u${k}`, list: 'shared' }))
  await insert(there, Item, CLIENTS * 10, k => ({ id: `i${k}`, title: 'Title', list: 'shared' }))
  const listening = new Koa().use(syncRoutes(there, { principal, ...options })).listen(0, '127.0.0.1')
  await once(listening, 'listening')
  const server = `http://127.0.0.1:${listening.address().port}`
  const open = async (_, k) => {
    const device = new DataSource({
      type: 'better-sqlite3',
      driver: require('libsql'),
      database: ':memory:',
      entities: [Item],
      synchronize: true,
    })
    const client = await withSync(device, { server, headers: () => ({ user: `u${k}` }) }).initialize()
    await syncAll(client)
    return client
  }
  const clients = await Promise.all(Array.from({ length: CLIENTS }, open))
  const ms = await timed(() =>
    Promise.all(
      clients.map(async (client, k) => {
        for (let i = 0; i < 5; i++) {
          for (let j = 0; j < 10; j++) await client.getRepository(Item).update(`i${k * 10 + j}`, { title: `Title ${i}` })
          await syncAll(client, preferLocalConflictHandler)
        }
      }),
    ),
  )
  for (const client of clients) await client.destroy()
  listening.close()
  listening.closeAllConnections()
  await there.destroy()
  await drop({ name })
  return ms
}

const principal = ctx => ({ id: ctx.get('user') || 'u0' })
const rules = [rule(Item, { read: p => ({ list: keys(Member, 'list', { user: p.id }) }) })]

async function get(url, user, headers = {}) {
  const response = await fetch(url, { headers: { user, ...headers } })
  const body = await response.text()
  return { status: response.status, etag: response.headers.get('etag'), json: body ? JSON.parse(body) : undefined }
}

async function timed(work) {
  globalThis.gc?.()
  const start = performance.now()
  await work()
  return performance.now() - start
}

/** Milliseconds of a poll that finds nothing, while others write. */
async function poll({ url, dataSource }, path, user) {
  const read = since => get(`${url}${path}${since}`, user)
  const whole = await read('since=0')
  const held = whole.json.scope ? `&scope=${whole.json.scope}` : ''
  const query = `since=${whole.json.now}${held}`
  const { etag } = await read(query)
  const headers = { 'if-none-match': etag }
  let ms = 0
  for (let k = 0; k < POLLS; k++) {
    await dataSource.getRepository(Item).update(`g${k % GRANTED}`, { title: `Changed ${Math.random()}` })
    ms += await timed(async () => {
      const { status } = await get(`${url}${path}${query}`, user, headers)
      if (status !== 304) throw new Error(`${path} answered ${status}.`)
    })
  }
  return ms / POLLS
}

/** Milliseconds until a client has what a grant brings; and until another one has as many rows of a public collection. */
async function grant({ url, dataSource }, k) {
  const user = `u${k}`
  const { json } = await get(`${url}/scoped/sync?since=0`, user)
  await dataSource.getRepository(Member).insert({ id: `grant${k}`, user, list: 'granted' })
  const granted = await timed(async () => {
    const { json: answer } = await get(`${url}/scoped/sync?since=${json.now}&scope=${json.scope}`, user)
    if (answer.changes['/items']?.length !== GRANTED) throw new Error(`${answer.changes['/items']?.length} rows came.`)
  })
  const first = await timed(async () => {
    const { json: answer } = await get(`${url}/open/sync?since=0&limit=${GRANTED}&collections=/items`, user)
    if (answer.changes['/items']?.length !== GRANTED) throw new Error('Too few rows came.')
  })
  return { granted, first }
}

const results = []
for (const store of option.stores.split(',')) {
  const server = await serve(store)
  const samples = []
  for (let round = 0; round < Number(option.rounds); round++) {
    const open = await poll(server, '/open/sync?collections=/public&', 'u1')
    const scoped = await poll(server, '/scoped/sync?', `u${10 + round}`)
    const { granted, first } = await grant(server, 100 + round)
    const [publicly, byRules] = [await together(store, { public: true }), await together(store, { rules })]
    samples.push({ open, scoped, granted, first, publicly, byRules })
    console.error(
      store,
      Object.entries(samples.at(-1))
        .map(([name, ms]) => `${name} ${number(ms)} ms`)
        .join(', '),
    )
  }
  server.listening.close()
  server.listening.closeAllConnections()
  await server.dataSource.destroy()
  await drop(server)
  const of = name => median(samples.map(s => s[name]))
  results.push({ store, samples, W7: of('scoped') / of('open'), W7g: of('granted') / of('first'), W5: of('byRules') / of('publicly') })
}
console.log(
  table(
    ['store', 'W7', 'target', 'W7g', 'target', 'W5 with rules', 'target'],
    results.map(({ store, W7, W7g, W5 }) => [store, number(W7), '<= 2', number(W7g), '<= 1.5', number(W5), '<= 1.3']),
  ),
)
mkdirSync(option.out, { recursive: true })
writeFileSync(
  join(option.out, `scopes${option.tag && `-${option.tag}`}.json`),
  JSON.stringify({ n, users, cpus: cpus()[0]?.model, node: process.version, results }, null, 2),
)
