// What capture costs an application's own writes: each work with the triggers against the same without, on a client that has pulled 1,000 rows.
//   node --expose-gc bench/local.mjs [--stores libsql,sqljs] [--rounds 5] [--out results] [--tag WORD]

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { rows as kinds, openClient, openServer } from './harness/contenders/typeorm-sync.mjs'
import { median, number, table } from './harness/lib/report.mjs'
import { FIELDS, rowAt } from './harness/lib/rows.mjs'

const ROWS = 1_000
const PAIRS = 5 // with and without, in each round

const { values: option } = parseArgs({
  options: {
    stores: { type: 'string', default: 'libsql,sqljs' },
    rounds: { type: 'string', default: '5' },
    out: { type: 'string', default: 'results' },
    tag: { type: 'string', default: '' },
  },
})

// ---------------------------------------------------------------- the work

const INSERT = `INSERT INTO item (${FIELDS.map(field => `"${field}"`)}) VALUES (${FIELDS.map(() => '?')})`

function rowsFrom(start) {
  return Array.from({ length: ROWS }, (_, k) => {
    const { _lastChange, ...row } = rowAt(start + k)
    return row
  })
}

const items = dataSource => dataSource.getRepository('item')
const fresh = () => rowsFrom(ROWS)
const freshCells = () => fresh().map(row => FIELDS.map(field => (field === 'done' ? Number(row.done) : row[field])))
const changed = async dataSource => (await items(dataSource).find()).map(row => Object.assign(row, { title: `changed ${row.title}` }))
const saveAll = (dataSource, rows) => items(dataSource).save(rows)

function insertByTypeorm(dataSource, list) {
  return dataSource.transaction(async manager => {
    for (const cells of list) await manager.query(INSERT, cells)
  })
}

// libsql, better-sqlite3 and sql.js have these calls in common
function insertByDriver({ driver: { databaseConnection: database } }, list) {
  database.exec('BEGIN')
  const statement = database.prepare(INSERT)
  for (const cells of list) statement.run(cells)
  database.exec('COMMIT')
}

async function saveOneByOne(dataSource, rows) {
  for (const row of rows.slice(0, 100)) await items(dataSource).save(row)
}

const WORKS = [
  { name: 'insert() of 1,000', limit: '1.3', prepare: fresh, run: (dataSource, rows) => items(dataSource).insert(rows) },
  { name: 'save() of 1,000 new', limit: '1.3', prepare: fresh, run: saveAll },
  { name: 'save() of 1,000 changed', limit: '1.3', prepare: changed, run: saveAll },
  { name: '1,000 raw INSERT, query()', limit: '2', prepare: freshCells, run: insertByTypeorm },
  { name: '1,000 raw INSERT, the driver', limit: '2', prepare: freshCells, run: insertByDriver },
  { name: 'raw UPDATE of 1,000', limit: '2', run: dataSource => dataSource.query('UPDATE item SET "priority" = "priority" + 1') },
  // without a condition, and without triggers, SQLite would drop the table's pages and delete no row
  { name: 'raw DELETE of 1,000', limit: '2', run: dataSource => dataSource.query('DELETE FROM item WHERE "priority" >= 0') },
  { name: '100 single saves', limit: '1.0', prepare: changed, run: saveOneByOne },
]

// ---------------------------------------------------------------- measuring

async function dropTriggers(dataSource) {
  for (const { name } of await dataSource.query(`SELECT name FROM sqlite_master WHERE type = 'trigger'`))
    await dataSource.query(`DROP TRIGGER "${name}"`)
}

const clockOf = async dataSource => (await dataSource.query('SELECT now FROM sync_clock'))[0].now

async function timed(work) {
  globalThis.gc?.()
  const start = performance.now()
  await work()
  return performance.now() - start
}

/** Milliseconds on a client of its own, whose rows the server knows: then capture also keeps what they were. */
async function sample({ url, options }, { prepare, run }, isCaptured) {
  const client = await openClient({ url, options })
  const { dataSource } = client
  try {
    await client.sync()
    if (!isCaptured) await dropTriggers(dataSource)
    const rows = await prepare?.(dataSource)
    const before = await clockOf(dataSource)
    const ms = await timed(() => run(dataSource, rows))
    if (((await clockOf(dataSource)) !== before) !== isCaptured) throw new Error(isCaptured ? 'Nothing was captured.' : 'It was captured.')
    return ms
  } finally {
    await client.close()
  }
}

async function pair(server, work, isCapturedFirst) {
  const ms = {}
  for (const isCaptured of [isCapturedFirst, !isCapturedFirst]) ms[isCaptured] = await sample(server, work, isCaptured)
  return { captured: ms.true, without: ms.false, ratio: ms.true / ms.false }
}

/** The pairs of every round, for each work. */
async function measure(server, store) {
  const rounds = WORKS.map(() => [])
  for (let round = 0; round <= Number(option.rounds); round++) {
    for (const [i, work] of WORKS.entries()) {
      const pairs = []
      for (let k = 0; k < PAIRS; k++) pairs.push(await pair(server, work, (round + k) % 2 === 0))
      if (round > 0) rounds[i].push(pairs) // the first one warms up
    }
    process.stderr.write(`local ${store} ${round ? `round ${round}` : 'warm-up'} done\n`)
  }
  return rounds
}

async function measureStore(store, dir) {
  const options = kinds[store]
  mkdirSync(dir)
  const server = await openServer({ dir, options })
  try {
    await server.put(rowsFrom(0))
    return await measure({ url: server.url, options }, store)
  } finally {
    await server.close()
  }
}

// ---------------------------------------------------------------- the outcome

function summarise(store, { name, limit }, rounds) {
  const all = rounds.flat()
  const ratios = rounds.map(pairs => median(pairs.map(({ ratio }) => ratio)))
  return {
    work: name,
    store,
    captured: median(all.map(({ captured }) => captured)),
    without: median(all.map(({ without }) => without)),
    ratio: median(ratios),
    low: Math.min(...ratios),
    high: Math.max(...ratios),
    limit,
    rounds,
  }
}

const cellsOf = ({ work, store, captured, without, ratio, low, high, limit }) => [
  work,
  store,
  number(captured),
  number(without),
  number(ratio),
  `${number(low)}..${number(high)}`,
  limit,
]

function report(lines) {
  const at = new Date().toISOString()
  const machine = { node: process.version, cpu: cpus()[0].model, cores: cpus().length }
  const name = ['local', option.tag, at.replace(/[:.]/g, '-').slice(0, 19)].filter(Boolean).join('-')
  mkdirSync(option.out, { recursive: true })
  writeFileSync(join(option.out, `${name}.json`), JSON.stringify({ work: 'local', at, machine, lines }, null, 1))
  console.log(`\n### local: writes with the triggers against the same without (${option.rounds} rounds)\n`)
  console.log(table(['work', 'store', 'ms', 'without', 'ratio', 'low..high', 'limit'], lines.map(cellsOf)))
}

const scratch = mkdtempSync(join(tmpdir(), 'typeorm-sync-local-'))
try {
  const lines = []
  for (const store of option.stores.split(',')) {
    const measured = await measureStore(store, join(scratch, store))
    lines.push(...WORKS.map((work, i) => summarise(store, work, measured[i])))
  }
  report(lines)
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
