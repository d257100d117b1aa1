// What a sync costs, as a multiple of the same work done by hand in the same run: bare fetch, JSON, one prepared statement, the same store.
//   npm run bench -- [--rows 1000,10000] [--stores libsql,sqljs] [--rounds 5] [--out FILE]
// W1: an empty client pulls n rows. W2: n local rows are pushed to an empty server. W3: 100 of n rows changed there. W3n: nothing changed.
// Local: what an application's own writes cost with the triggers, against the same without.

import { fork } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import http from 'node:http'
import { createRequire } from 'node:module'
import 'reflect-metadata'

const require = createRequire(import.meta.url)
const { DataSource, EntitySchema } = require('typeorm')
const { enableSync, syncAll, withSync } = require('../dist/cjs/src/index.js')
const libsql = require('libsql')

const option = (name, otherwise) => {
  const i = process.argv.indexOf(`--${name}`)
  return i < 0 ? otherwise : process.argv[i + 1]
}
const sizes = option('rows', '1000,10000').split(',').map(Number)
const stores = option('stores', 'libsql,sqljs').split(',')
const rounds = Number(option('rounds', '5'))
const out = option('out', undefined)

// ---------------------------------------------------------------- rows

const WORDS = 'order sync paint river cloud table stone green amber maple north quiet signal garden window bridge'.split(' ')
const text = (seed, length) => {
  let s = ''
  for (let i = seed; s.length < length; i = Math.imul(i, 48271) + 11) s += ` ${WORDS[i & 15]}`
  return s.slice(1, length)
}
const hex = (n, digits) => (n >>> 0).toString(16).padStart(8, '0').slice(0, digits)
const idOf = i => `${hex(Math.imul(i + 1, 0x9e3779b1), 8)}-${hex(i, 4)}-4${hex(Math.imul(i, 77), 3)}-8000-${hex(i, 8)}0000`
const rowAt = (i, title = text(i + 1, 30)) => ({
  id: idOf(i),
  title,
  notes: text(i + 7, 120),
  done: i % 2 === 1,
  priority: i % 5,
  projectId: idOf(i % 100),
  dueAt: new Date(1.7e12 + i * 1000).toISOString(),
})
const rowsUpTo = n => Array.from({ length: n }, (_, i) => rowAt(i))
const COLUMNS = ['id', 'title', 'notes', 'done', 'priority', 'projectId', 'dueAt', '_lastChange']
const cells = (row, stamp) => [row.id, row.title, row.notes, row.done ? 1 : 0, row.priority, row.projectId, row.dueAt, stamp]

function describe() {
  const columns = { id: { type: 'varchar', primary: true } }
  for (const name of ['title', 'notes', 'projectId', 'dueAt']) columns[name] = { type: 'varchar' }
  const item = new EntitySchema({ name: 'item', columns: { ...columns, done: { type: 'boolean' }, priority: { type: 'integer' } } })
  enableSync(item, '/item')
  return item
}

// ---------------------------------------------------------------- stores by hand

const TABLE =
  'CREATE TABLE item (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL, notes TEXT NOT NULL, done INTEGER NOT NULL, priority INTEGER NOT NULL, "projectId" TEXT NOT NULL, "dueAt" TEXT NOT NULL, "_lastChange" INTEGER NOT NULL)'
const UPSERT = `INSERT INTO item VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET ${COLUMNS.slice(1).map(c => `"${c}" = excluded."${c}"`)}`

async function openStore(kind) {
  const database = kind === 'sqljs' ? new (await require('sql.js')()).Database() : new libsql(':memory:')
  database.exec(TABLE)
  const upsert = database.prepare(UPSERT)
  return {
    store(rows, stamp) {
      database.exec('BEGIN')
      for (const row of rows) upsert.run(cells(row, row._lastChange ?? stamp))
      database.exec('COMMIT')
    },
    close: () => database.close(),
  }
}

// ---------------------------------------------------------------- the servers, in a process of their own

async function serve() {
  const { default: Koa } = await import('koa')
  const { syncRoutes } = require('../dist/cjs/server-koa/index.js')
  const item = describe()
  let ours
  let bare
  let rows = []
  async function reset(n) {
    rows = rowsUpTo(n)
    await ours?.dataSource.destroy()
    bare?.close()
    const dataSource = withSync(
      new DataSource({ type: 'better-sqlite3', driver: libsql, database: ':memory:', entities: [item], synchronize: true }),
    )
    await dataSource.initialize()
    for (let k = 0; k < n; k += 500) await dataSource.getRepository(item).insert(rows.slice(k, k + 500))
    ours = { dataSource, answer: new Koa().use(syncRoutes(dataSource, { public: true }).routes()).callback() }
    bare = await openStore('libsql')
    bare.store(rows, 1)
    bare.all = Buffer.from(JSON.stringify({ now: 1, updates: rows.map(row => ({ ...row, _lastChange: 1 })) }))
  }
  async function change(round) {
    const changed = rows.slice(0, 100).map(row => ({ ...row, title: `changed ${round}` }))
    await ours.dataSource.getRepository(item).upsert(changed, ['id'])
    bare.changed = Buffer.from(JSON.stringify({ now: round + 2, updates: changed.map(row => ({ ...row, _lastChange: round + 2 })) }))
  }
  const server = http.createServer(async (req, res) => {
    if (!req.url.startsWith('/bare')) return ours.answer(req, res)
    if (req.url === '/bare/nothing') return res.writeHead(304).end()
    const send = data => res.writeHead(200, { 'content-type': 'application/json', 'content-length': data.length }).end(data)
    if (req.method === 'GET') return send(req.url === '/bare/changed' ? bare.changed : bare.all)
    const parts = []
    for await (const part of req) parts.push(part)
    bare.store(JSON.parse(Buffer.concat(parts).toString()), 2)
    send(Buffer.from('{"status":"ok","now":2}'))
  })
  server.listen(0, '127.0.0.1', () => process.send({ url: `http://127.0.0.1:${server.address().port}` }))
  process.on('message', async ([what, n]) => {
    await (what === 'reset' ? reset(n) : change(n))
    process.send({ done: true })
  })
  process.on('disconnect', () => process.exit(0))
}

// ---------------------------------------------------------------- the client

async function openClient(kind, server, triggers = true) {
  const item = describe()
  const own = kind === 'sqljs' ? { type: 'sqljs', autoSave: false } : { type: 'better-sqlite3', driver: libsql, database: ':memory:' }
  const dataSource = withSync(new DataSource({ ...own, entities: [item], synchronize: true }), { server })
  await dataSource.initialize()
  if (!triggers)
    for (const { name } of await dataSource.query("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
      await dataSource.query(`DROP TRIGGER "${name}"`)
  return { dataSource, repository: dataSource.getRepository(item) }
}

async function timed(work) {
  globalThis.gc?.()
  const start = performance.now()
  await work()
  return performance.now() - start
}

const median = values => [...values].sort((x, y) => x - y)[values.length >> 1]
const results = []
function note(work, store, rows, ours, limit) {
  const result = { work, store, rows, ms: +median(ours).toFixed(1), 'limit ms': +median(limit).toFixed(1) }
  results.push({ ...result, ratio: +median(ours.map((ms, i) => ms / limit[i])).toFixed(2) })
  console.log(`${work} ${store} ${rows} rows: ${result.ms} ms, by hand ${result['limit ms']} ms, ${results.at(-1).ratio} ×`)
}

async function measure(ask, url, kind, n) {
  const pulled = [[], []]
  const pushed = [[], []]
  const changed = [[], []]
  const idle = [[], []]
  for (let round = -1; round < rounds; round++) {
    const keep = ([ours, limit], a, b) => {
      if (round < 0) return // the first one warms up
      ours.push(a)
      limit.push(b)
    }
    await ask('reset', n)
    const client = await openClient(kind, url)
    const hand = await openStore(kind)
    const pullByHand = async path => {
      const { updates } = JSON.parse(await (await fetch(url + path)).text())
      hand.store(updates, 1)
    }
    keep(pulled, await timed(() => syncAll(client.dataSource)), await timed(() => pullByHand('/bare')))
    if ((await client.repository.count()) !== n) throw new Error('rows are missing')
    await syncAll(client.dataSource)
    keep(idle, await timed(() => syncAll(client.dataSource)), await timed(async () => (await fetch(`${url}/bare/nothing`)).arrayBuffer()))
    await ask('change', round)
    keep(changed, await timed(() => syncAll(client.dataSource)), await timed(() => pullByHand('/bare/changed')))
    if ((await client.repository.findOneBy({ id: idOf(99) })).title !== `changed ${round}`) throw new Error('a change is missing')
    await client.dataSource.destroy()
    hand.close()

    await ask('reset', 0)
    const pushing = await openClient(kind, url)
    const rows = rowsUpTo(n)
    for (let k = 0; k < n; k += 500) await pushing.repository.insert(rows.slice(k, k + 500))
    const post = body => fetch(`${url}/bare`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    keep(pushed, await timed(() => syncAll(pushing.dataSource)), await timed(async () => (await post(JSON.stringify(rows))).text()))
    if ((await syncAll(pushing.dataSource)).pushed) throw new Error('something was told again')
    await pushing.dataSource.destroy()
  }
  note('W1', kind, n, ...pulled)
  note('W2', kind, n, ...pushed)
  note('W3', kind, n, ...changed)
  note('W3n', kind, n, ...idle)
}

async function measureLocal(kind, url) {
  const works = {
    'insert() of 1,000': ({ repository }, rows) => repository.insert(rows),
    'save() of 1,000': ({ repository }, rows) => repository.save(rows.map(row => ({ ...row }))),
    'raw update of 1,000': ({ dataSource }) => dataSource.query('UPDATE item SET priority = priority + 1'),
    '100 single saves': async ({ repository }, rows) => {
      for (const row of rows.slice(0, 100)) await repository.save({ ...row, title: 'x' })
    },
  }
  const times = Object.fromEntries(Object.keys(works).map(name => [name, [[], []]]))
  for (let round = -1; round < rounds; round++) {
    for (const [i, triggers] of [true, false].entries()) {
      let start = 0
      const client = await openClient(kind, url, triggers)
      for (const [name, work] of Object.entries(works)) {
        const rows = Array.from({ length: 1_000 }, (_, k) => rowAt(start + k))
        start += /insert|save\(\)/.test(name) ? 1_000 : 0
        const ms = await timed(() => work(client, rows))
        if (round >= 0) times[name][i].push(ms)
      }
      await client.dataSource.destroy()
    }
  }
  for (const [name, [ours, limit]] of Object.entries(times)) note(`local: ${name}`, kind, 1_000, ours, limit)
}

async function lead() {
  const child = fork(new URL(import.meta.url).pathname, ['--serve'], { execArgv: ['--expose-gc'] })
  const answer = () => new Promise(resolve => child.once('message', resolve))
  const { url } = await answer()
  const ask = async (...what) => {
    child.send(what)
    await answer()
  }
  for (const kind of stores) {
    for (const n of sizes) await measure(ask, url, kind, n)
    await measureLocal(kind, url)
  }
  console.table(results)
  if (out) writeFileSync(out, JSON.stringify({ node: process.version, rounds, results }, null, 2))
  child.disconnect()
}

if (process.argv.includes('--serve')) await serve()
else await lead()
