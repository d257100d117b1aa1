// What the counter costs: writes with the triggers that capture them and without, on PostgreSQL or MariaDB.
//   npm run build && node bench/counter.mjs --database postgres|mysql [--seconds 5] [--rounds 3] [--writers 1,8,32] [--bulk 20000] [--dist dist/esm]
//
// Both ways take turns within a round, so that the ratio holds on a machine that others use as well.

import 'reflect-metadata'
import http from 'node:http'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import Koa from 'koa'
import { DataSource, EntitySchema } from 'typeorm'

const option = (name, otherwise) => {
  const i = process.argv.indexOf(`--${name}`)
  return i < 0 ? otherwise : (process.argv[i + 1] ?? otherwise)
}
const kind = option('database', 'postgres')
const seconds = Number(option('seconds', '5'))
const rounds = Number(option('rounds', '3'))
const writers = option('writers', '1,8,32').split(',').map(Number)
const bulk = Number(option('bulk', '20000'))
const built = file => import(pathToFileURL(resolve(option('dist', 'dist/esm'), file)).href)
const { enableSync, withSync } = await built('src/index.js')
const { syncRoutes } = await built('server-koa/index.js')

const isPostgres = kind === 'postgres'
const server = isPostgres
  ? (process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/test')
  : (process.env.MYSQL_URL ?? 'mysql://root@127.0.0.1:3306/test')
const type = isPostgres ? 'postgres' : 'mariadb'
const database = `sync_counter_${process.pid}`
const url = new URL(server)
url.pathname = `/${database}`

// some rows for each writer, so that they wait for the clock and not for each other's rows
const OWN = 100
const note = new EntitySchema({
  name: 'note',
  columns: {
    id: { type: 'varchar', length: 40, primary: true },
    title: { type: 'varchar', length: 200 },
    text: { type: 'text' },
    number: { type: 'int' },
  },
})
enableSync(note, '/notes')

async function onServer(sql, attempts = 10) {
  try {
    const dataSource = await new DataSource({ type, url: server }).initialize()
    await dataSource.query(sql)
    await dataSource.destroy()
  } catch (error) {
    // others may have all of its connections for a moment
    if (attempts === 1) throw error
    await new Promise(resolve => setTimeout(resolve, 500))
    await onServer(sql, attempts - 1)
  }
}

const idOf = (writer, i) => `w${String(writer).padStart(3, '0')}-${String(i % OWN).padStart(4, '0')}`
const TEXT = 'A text as it may stand in a note. '.repeat(4)
let count = 0

async function works(dataSource, port) {
  const agent = new http.Agent({ keepAlive: true })
  const post = rows =>
    new Promise((resolve, reject) => {
      const request = http.request(
        { port, agent, method: 'POST', path: '/notes', headers: { 'Content-Type': 'application/json' } },
        response => {
          response.resume().on('end', () => (response.statusCode === 200 ? resolve() : reject(new Error(`${response.statusCode}`))))
        },
      )
      request.on('error', reject).end(JSON.stringify(rows))
    })
  return {
    'push of 10 rows': (writer, i) =>
      post(Array.from({ length: 10 }, (_, k) => ({ id: idOf(writer, 10 * i + k), title: `pushed ${count++}`, text: TEXT, number: i }))),
    'transaction: insert, update': (writer, i) =>
      dataSource.transaction(async manager => {
        await manager.insert('note', { id: `t-${writer}-${count++}`, title: 'made', text: TEXT, number: i })
        await manager.update('note', { id: idOf(writer, i) }, { title: `changed ${count++}` })
      }),
    'one UPDATE': (writer, i) => dataSource.manager.update('note', { id: idOf(writer, i) }, { title: `changed ${count++}` }),
  }
}

/** Switches the triggers of the table off and on. */
async function triggers(dataSource) {
  const names = await dataSource.query(
    `SELECT DISTINCT TRIGGER_NAME AS name FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_TABLE = 'note' AND TRIGGER_SCHEMA = ${isPostgres ? 'current_schema' : 'DATABASE()'}`,
  )
  if (!names.length) throw new Error('there are no triggers to leave out')
  if (isPostgres) return on => dataSource.query(`ALTER TABLE note ${on ? 'ENABLE' : 'DISABLE'} TRIGGER USER`)
  const made = []
  for (const { name } of names)
    made.push({ name, sql: (await dataSource.query(`SHOW CREATE TRIGGER ${name}`))[0]['SQL Original Statement'] })
  let areOn = true
  return async on => {
    if (on !== areOn) for (const { name, sql } of made) await dataSource.query(on ? sql : `DROP TRIGGER ${name}`)
    areOn = on
  }
}

/** How often all writers together are done in a second. What met a deadlock, or no free connection, is done once more, as an application would. */
async function rate(work, concurrent) {
  const end = performance.now() + seconds * 1000
  const start = performance.now()
  let [done, retries] = [0, 0]
  await Promise.all(
    Array.from({ length: concurrent }, async (_, writer) => {
      for (let i = 0; performance.now() < end; i++) {
        try {
          await work(writer, i)
          done++
        } catch (error) {
          if (!/40P01|53300|1213|1205/.test(`${error.code} ${error.errno}`)) throw error
          retries++
        }
      }
    }),
  )
  return { rate: (done * 1000) / (performance.now() - start), retries }
}

/** Milliseconds for an insert of many rows in one transaction, in statements of so many. */
async function bulkInsert(dataSource, rows, perStatement) {
  await dataSource.query("DELETE FROM note WHERE id LIKE 'b-%'")
  const start = performance.now()
  await dataSource.transaction(async manager => {
    for (let i = 0; i < rows; i += perStatement) {
      const values = Array.from(
        { length: Math.min(perStatement, rows - i) },
        (_, k) => `('b-${String(i + k).padStart(8, '0')}', 'bulk', '${TEXT}', ${i})`,
      )
      await manager.query(`INSERT INTO note (id, title, text, number) VALUES ${values.join(', ')}`)
    }
  })
  return performance.now() - start
}

const median = list => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)]
const round = (x, digits = 1) => Number(x.toFixed(digits))

await onServer(`CREATE DATABASE ${database}`)
const pool = Math.max(...writers) + 2
const dataSource = withSync(new DataSource({ type, url: url.href, entities: [note], synchronize: true, poolSize: pool }), {
  busyTimeout: 60_000,
})
try {
  await dataSource.initialize()
  const app = new Koa()
  app.use(syncRoutes(dataSource, { public: true }).routes())
  const listening = app.listen(0)
  for (let writer = 0; writer < Math.max(...writers); writer++)
    await dataSource.manager.insert(
      'note',
      Array.from({ length: OWN }, (_, i) => ({ id: idOf(writer, i), title: 'first', text: TEXT, number: i })),
    )
  const capture = await triggers(dataSource)
  const results = []
  for (const [name, work] of Object.entries(await works(dataSource, listening.address().port)))
    for (const concurrent of writers) {
      const [withCapture, without, ratios] = [[], [], []]
      let retries = 0
      for (let i = 0; i < rounds; i++) {
        const measured = {}
        // each of the two comes first in turn
        for (const on of i % 2 ? [true, false] : [false, true]) {
          await capture(on)
          const result = await rate(work, concurrent)
          measured[on] = result.rate
          retries += result.retries
        }
        withCapture.push(measured.true)
        without.push(measured.false)
        ratios.push(measured.true / measured.false)
      }
      const result = { work: name, writers: concurrent, captured: round(median(withCapture)), without: round(median(without)) }
      results.push({ ...result, ratio: round(median(ratios), 2), retries })
      console.error(JSON.stringify(results.at(-1)))
    }
  const bulks = []
  for (const [rows, perStatement] of [
    [bulk / 4, 1000],
    [bulk, 1000],
    [bulk / 16, 1],
    [bulk / 4, 1],
  ]) {
    const milliseconds = { true: [], false: [] }
    for (let i = 0; i < rounds; i++)
      for (const on of [true, false]) {
        await capture(on)
        milliseconds[on].push(await bulkInsert(dataSource, rows, perStatement))
      }
    const [captured, without] = [median(milliseconds.true), median(milliseconds.false)]
    bulks.push({
      rows,
      'rows in a statement': perStatement,
      'captured, ms': round(captured),
      'without, ms': round(without),
      'ms per 1,000 rows': round((captured * 1000) / rows),
      ratio: round(captured / without, 2),
    })
  }
  await capture(true)
  listening.close()
  listening.closeAllConnections()
  console.log(`${kind}: done in a second, with the triggers and without (${rounds} rounds of ${seconds} s, medians)`)
  console.table(results)
  console.log('rows inserted in one transaction')
  console.table(bulks)
  console.log(JSON.stringify({ database: kind, seconds, rounds, results, bulk: bulks }))
} finally {
  if (dataSource.isInitialized) await dataSource.destroy()
  await onServer(isPostgres ? `DROP DATABASE IF EXISTS ${database} WITH (FORCE)` : `DROP DATABASE IF EXISTS ${database}`)
}
process.exit(0)
