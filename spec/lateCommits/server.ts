// A server of the team's database. Arguments: kind, database, what is broken.

import 'reflect-metadata'
import type { AddressInfo } from 'node:net'
import Koa from 'koa'
import { syncRoutes } from '../../server-koa/index.js'
import { withSync } from '../../src/entity/withSync.js'
import { unlockedSql } from './breaks.js'
import { dataSourceOn, type Kind } from './database.js'
import { say, wait } from './words.js'

const [kind, database = '', broken] = process.argv.slice(2) as [Kind, string, string?]
const dataSource = withSync(dataSourceOn(kind, database))
await dataSource.initialize()
if (broken === 'snapshot') wrapConnections(clockApart)
if (broken === 'lock' && kind === 'mysql') wrapConnections(unlocked)

const app = new Koa()
app.on('error', error => say({ said: 'problem', text: `server: ${error.stack}` }))
app.use(syncRoutes(dataSource, { public: true }).routes())
const server = app.listen(0, '127.0.0.1', () => say({ said: 'ready', port: (server.address() as AddressInfo).port }))
process.on('disconnect', () => process.exit(0))

type Given = string | { readonly text: string } | { readonly sql: string }
type Callback = (error: Error | null, rows?: unknown) => void
interface Connection {
  query(given: Given, ...more: unknown[]): unknown
}

function wrapConnections(query: (connection: Connection) => Connection['query']): void {
  const createQueryRunner = dataSource.createQueryRunner.bind(dataSource)
  dataSource.createQueryRunner = mode => {
    const runner = createQueryRunner(mode)
    const connect = runner.connect.bind(runner)
    runner.connect = async () => {
      const connection = await connect()
      const wrapped = query(connection)
      return new Proxy(connection, {
        get(target, name) {
          if (name === 'query') return wrapped
          const value = Reflect.get(target, name)
          return typeof value === 'function' ? value.bind(target) : value
        },
      })
    }
    return runner
  }
}

const textOf = (given: Given) => (typeof given === 'string' ? given : 'text' in given ? given.text : given.sql)

/** Whoever reads gets the clock from a later moment than the rows, as with two requests to the database. */
function clockApart(connection: Connection): Connection['query'] {
  let isReadOnly = false
  async function readLater(sql: string): Promise<unknown[]> {
    // this fixes the snapshot of the rows
    if (kind === 'postgres') await connection.query('SELECT 1 FROM item LIMIT 1')
    await wait(20)
    return dataSource.manager.query(sql)
  }
  return (given, ...more) => {
    const sql = textOf(given)
    if (/^(BEGIN|START TRANSACTION)/.test(sql)) isReadOnly = /READ ONLY/.test(sql)
    const isClock = isReadOnly && /^SELECT .*horizon FROM sync_clock/s.test(sql)
    if (!isClock) return connection.query(given, ...more)
    if (kind === 'postgres') return readLater(sql).then(rows => ({ rows, command: 'SELECT' }))
    const callback = more[0] as Callback
    return readLater(sql).then(rows => callback(null, rows), callback)
  }
}

function unlocked(connection: Connection): Connection['query'] {
  return (given, ...more) =>
    connection.query(typeof given === 'object' && 'sql' in given ? { ...given, sql: unlockedSql(given.sql) } : given, ...more)
}
