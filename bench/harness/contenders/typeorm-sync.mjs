// typeorm-sync as a contender of the harness (bench/README.md): client on sql.js, libsql or better-sqlite3, server on a file of the
// same SQLite (of libsql, where the client is sql.js) or on PostgreSQL.
import 'reflect-metadata'
import http from 'node:http'
import { createRequire } from 'node:module'
import path from 'node:path'

const ALL = ['W1', 'W2', 'W3', 'W4', 'W5']
export const rows = {
  bsq: { works: ALL, type: 'better-sqlite3', driver: 'better-sqlite3', note: 'client better-sqlite3 :memory:, server better-sqlite3 file' },
  libsql: { works: ALL, type: 'better-sqlite3', note: 'client libsql :memory:, server libsql file' },
  sqljs: { works: ALL, type: 'sqljs', note: 'client sql.js, not saved; server libsql file' },
  'libsql-pg': { works: ALL, type: 'better-sqlite3', postgres: true, note: 'client libsql :memory:, server PostgreSQL' },
  'sqljs-pg': { works: ALL, only: true, type: 'sqljs', postgres: true, note: 'client sql.js, server PostgreSQL' },
}

const require = createRequire(import.meta.url)
const { DataSource, EntitySchema, In } = require('typeorm')
const { enableSync, syncAll, withSync } = require('typeorm-sync')
const CHUNK = 500

// a schema for each data source: the process may hold many
function describe(postgres) {
  const item = new EntitySchema({
    name: 'item',
    columns: {
      id: { type: postgres ? 'uuid' : 'varchar', primary: true },
      title: { type: 'varchar' },
      notes: { type: 'varchar' },
      done: { type: 'boolean' },
      priority: { type: 'integer' },
      projectId: { type: postgres ? 'uuid' : 'varchar' },
      dueAt: { type: 'varchar' },
    },
  })
  enableSync(item, '/item')
  return item
}

const driverOf = async ({ driver = 'libsql' }) => (await import(driver)).default

const withoutStamp = ({ _lastChange, ...row }) => row

async function store(dataSource, item, list) {
  await dataSource.transaction(async manager => {
    const repository = manager.getRepository(item)
    for (let k = 0; k < list.length; k += CHUNK)
      await repository.upsert(list.slice(k, k + CHUNK).map(withoutStamp), { conflictPaths: ['id'], skipUpdateIfNoValuesChanged: false })
  })
}

async function find(dataSource, item, ids) {
  const found = []
  const repository = dataSource.getRepository(item)
  for (let k = 0; k < ids.length; k += 10_000) found.push(...(await repository.findBy({ id: In(ids.slice(k, k + 10_000)) })))
  return found
}

export async function openServer({ dir, options }) {
  const { default: Koa } = await import('koa')
  const { syncRoutes } = require('typeorm-sync/server-koa')
  const item = describe(options.postgres)
  const common = { entities: [item], synchronize: true }
  let pool
  let dataSourceOptions
  if (options.postgres) {
    const { openPg } = await import('../lib/pgstore.mjs')
    const made = await openPg()
    const { rows: names } = await made.pool.query('SELECT current_database() AS name')
    await made.pool.query('DROP TABLE item')
    await made.close()
    const { PGHOST: host, PGPORT, PGUSER: username } = process.env
    dataSourceOptions = { type: 'postgres', host, port: Number(PGPORT), username, database: names[0].name, ...common }
    pool = process.env.BENCH_PG_PID ? [Number(process.env.BENCH_PG_PID)] : []
  } else {
    const prepareDatabase = database => {
      database.pragma('journal_mode = WAL')
      database.pragma('synchronous = NORMAL') // what is acknowledged is on the disk all the same
    }
    const driver = await driverOf(options)
    dataSourceOptions = { type: 'better-sqlite3', driver, database: path.join(dir, 'server.db'), prepareDatabase, ...common }
  }
  const dataSource = await withSync(new DataSource(dataSourceOptions)).initialize()
  const app = new Koa()
  app.use(syncRoutes(dataSource, { public: true, rows: 100_000, bytes: 100 * 1024 * 1024 }).routes())
  const server = http.createServer(app.callback())
  server.keepAliveTimeout = 60_000
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    cpuPids: () => pool ?? [],
    put: list => store(dataSource, item, list),
    settle: () => (options.postgres ? dataSource.query('ANALYZE item') : undefined),
    get: ids => find(dataSource, item, ids),
    count: () => dataSource.getRepository(item).count(),
    async close() {
      await new Promise(resolve => {
        server.close(resolve)
        server.closeAllConnections()
      })
      await dataSource.destroy()
    },
  }
}

export async function openClient({ url, options }) {
  const item = describe(false)
  const common = { entities: [item], synchronize: true }
  const driver = options.type === 'sqljs' ? undefined : await driverOf(options)
  const dataSource = await withSync(
    new DataSource(
      options.type === 'sqljs'
        ? { type: 'sqljs', autoSave: false, ...common }
        : { type: 'better-sqlite3', driver, database: ':memory:', ...common },
    ),
    { server: url },
  ).initialize()
  const handlerOf = resolve => conflicts => {
    for (const conflict of conflicts) Object.assign(conflict.local, resolve(conflict.local, conflict.remote))
  }
  return {
    dataSource, // for what is measured beside the harness
    put: list => store(dataSource, item, list),
    sync: resolve => syncAll(dataSource, resolve && handlerOf(resolve)),
    get: ids => find(dataSource, item, ids),
    count: () => dataSource.getRepository(item).count(),
    close: () => dataSource.destroy(),
  }
}
