// What it costs that an app has many entities: W6, a first pull of 20 entities of n rows that refer to each other, and W6n, a sync in which nothing
// is new, each against the same with one entity of as many rows.
//   node --expose-gc bench/feed.mjs [--stores libsql,sqljs] [--n 1000] [--rounds 5] [--out results] [--tag WORD]

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
const { enableSync, syncAll, withSync } = require('typeorm-sync')
const { syncRoutes } = require('typeorm-sync/server-koa')
const ENTITIES = 20
const POLLS = 20 // in one sample of W6n

const { values: option } = parseArgs({
  options: {
    stores: { type: 'string', default: 'libsql,sqljs' },
    n: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '5' },
    out: { type: 'string', default: 'results' },
    tag: { type: 'string', default: '' },
  },
})
const n = Number(option.n)

function entitiesOf(prefix, count) {
  const text = { type: 'varchar', length: 200 }
  const columns = { id: { ...text, primary: true }, title: text, notes: text, done: { type: 'boolean' }, priority: { type: 'integer' } }
  return Array.from({ length: count }, (_, i) => {
    const name = `${prefix}${i}`
    const parent = i ? { parent: { type: 'many-to-one', target: `${prefix}${i - 1}`, nullable: true, onDelete: 'CASCADE' } } : {}
    const entity = new EntitySchema({ name, tableName: name, columns, relations: parent })
    enableSync(entity, `/${name}`)
    return entity
  })
}

const WORLDS = [
  { name: 'many', entities: entitiesOf('many', ENTITIES), rows: n },
  { name: 'one', entities: entitiesOf('one', 1), rows: n * ENTITIES },
]

async function open(entities, store, options) {
  const type = store === 'sqljs' ? { type: 'sqljs' } : { type: 'better-sqlite3', driver: require('libsql'), database: ':memory:' }
  return withSync(new DataSource({ ...type, entities, synchronize: true }), options).initialize()
}

async function serve({ entities, rows }) {
  const { default: Koa } = await import('koa')
  const dataSource = await open(entities, 'libsql', {})
  for (const [i, entity] of entities.entries()) {
    for (let k = 0; k < rows; k += 500) {
      const some = Array.from({ length: Math.min(500, rows - k) }, (_, j) => ({
        ...{
          id: `${i}-${k + j}`,
          title: `Title of row ${k + j}`,
          notes: 'Something to be remembered. '.repeat(5),
          done: false,
          priority: j % 5,
        },
        ...(i && { parent: { id: `${i - 1}-${k + j}` } }),
      }))
      await dataSource.getRepository(entity).insert(some)
    }
  }
  const app = new Koa()
  app.use(syncRoutes(dataSource, { public: true }))
  const listening = app.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  return { url: `http://127.0.0.1:${listening.address().port}`, dataSource, listening }
}

async function timed(work) {
  globalThis.gc?.()
  const start = performance.now()
  const result = await work()
  return { ms: performance.now() - start, result }
}

async function sample({ entities, rows }, store, url) {
  const client = await open(entities, store, { server: url })
  const pull = await timed(() => syncAll(client))
  if (pull.result.pulled !== rows * entities.length || pull.result.unapplied) throw new Error(`${pull.result.pulled} rows arrived.`)
  await syncAll(client)
  const poll = await timed(async () => {
    let requests = 0
    for (let k = 0; k < POLLS; k++) requests += (await syncAll(client)).requests
    return requests
  })
  if (poll.result !== POLLS) throw new Error(`${poll.result} requests for ${POLLS} syncs.`)
  await client.destroy()
  return { W6: pull.ms, W6n: poll.ms / POLLS }
}

const LIMITS = { W6: '<= 1.2', W6n: '<= 1.3' }
const servers = []
for (const world of WORLDS) servers.push(await serve(world))
const lines = []
for (const store of option.stores.split(',')) {
  const rounds = []
  for (let round = 0; round <= Number(option.rounds); round++) {
    const samples = {}
    const order = round % 2 ? [0, 1] : [1, 0]
    for (const i of order) samples[WORLDS[i].name] = await sample(WORLDS[i], store, servers[i].url)
    if (round > 0) rounds.push(samples) // the first one warms up
  }
  for (const work of ['W6', 'W6n']) {
    const ratios = rounds.map(({ many, one }) => many[work] / one[work])
    lines.push({
      ...{ work, store, many: median(rounds.map(r => r.many[work])), one: median(rounds.map(r => r.one[work])) },
      ...{ ratio: median(ratios), low: Math.min(...ratios), high: Math.max(...ratios), limit: LIMITS[work] },
    })
  }
}
for (const { listening, dataSource } of servers) {
  listening.close()
  listening.closeAllConnections()
  await dataSource.destroy()
}
const at = new Date().toISOString()
const machine = { node: process.version, cpu: cpus()[0].model, cores: cpus().length }
mkdirSync(option.out, { recursive: true })
const name = ['feed', option.tag, at.replace(/[:.]/g, '-').slice(0, 19)].filter(Boolean).join('-')
writeFileSync(join(option.out, `${name}.json`), JSON.stringify({ work: 'feed', n, at, machine, lines }, null, 1))
console.log(`\n### feed: ${ENTITIES} entities of ${n} rows against one of ${n * ENTITIES} (${option.rounds} rounds)\n`)
const cells = lines.map(l => [
  l.work,
  l.store,
  number(l.many),
  number(l.one),
  number(l.ratio),
  `${number(l.low)}..${number(l.high)}`,
  l.limit,
])
console.log(table(['work', 'store', 'ms', 'of one entity', 'ratio', 'low..high', 'limit'], cells))
