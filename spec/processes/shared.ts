// Databases that several servers share, and what may happen to them.

import { createConnection } from 'mysql2/promise'
import { Client } from 'pg'
import { type Binaries, PostgresCluster } from '../support/postgresCluster.js'
import type { SharedPlace } from './open.js'

export interface Shared {
  readonly primary: SharedPlace
  readonly replica?: SharedPlace
  /** Ends a connection of a server, if there is one; `pick` says which. */
  endConnection(pick: (ids: readonly unknown[]) => unknown): Promise<boolean>
  /** Whether a server left a transaction open. */
  hasOpenTransaction(): Promise<boolean>
  /** The replica falls behind, until it may go on. */
  lag(isLagging: boolean): Promise<void>
  /** The replica shows all that was committed until now. */
  catchUp(): Promise<void>
  /** Makes it anew, empty. */
  clear(): Promise<void>
  drop(): Promise<void>
}

const NAME = `sync_processes_${process.pid}`

/** On a PostgreSQL server that is there already. */
export function postgresAt(url: string): Shared {
  const query = (sql: string, values?: unknown[]) => onPostgres(url, sql, values)
  return postgres(query, query, { type: 'postgres', url: withDatabase(url) })
}

/** On two PostgreSQL servers of our own, of which one streams to the other. */
export async function postgresPair(binaries: Binaries): Promise<Shared> {
  const primary = await PostgresCluster.make(binaries)
  try {
    const standby = await primary.makeStandby()
    const on = (cluster: PostgresCluster) => (sql: string, values?: unknown[]) => cluster.query(sql, values)
    const shared = postgres(on(primary), on(standby), { type: 'postgres', url: primary.url(NAME) })
    return {
      ...shared,
      replica: { type: 'postgres', url: standby.url(NAME) },
      lag: async isLagging => void (await standby.query(isLagging ? 'SELECT pg_wal_replay_pause()' : 'SELECT pg_wal_replay_resume()')),
      catchUp: () => standby.catchUp(primary),
      async drop() {
        await standby.remove()
        await primary.remove()
      },
    }
  } catch (error) {
    await primary.remove()
    throw error
  }
}

type Query = (sql: string, values?: unknown[]) => Promise<Record<string, unknown>[]>

function postgres(onPrimary: Query, onReplica: Query, primary: SharedPlace): Shared {
  const isTheirs = `datname = '${NAME}' AND backend_type = 'client backend'`
  let turn = 0
  return {
    primary,
    async endConnection(pick) {
      const query = ++turn % 3 ? onPrimary : onReplica
      const rows = await query(`SELECT pid FROM pg_stat_activity WHERE ${isTheirs}`)
      if (!rows.length) return false
      const [row] = await query('SELECT pg_terminate_backend($1) AS ended', [pick(rows.map(r => r.pid))])
      return row?.ended === true
    },
    async hasOpenTransaction() {
      const open = `SELECT pid FROM pg_stat_activity WHERE ${isTheirs} AND state LIKE 'idle in transaction%' AND state_change < now() - interval '2 seconds'`
      return (await onPrimary(open)).length + (await onReplica(open)).length > 0
    },
    async lag() {},
    async catchUp() {},
    async clear() {
      await onPrimary(`DROP DATABASE IF EXISTS ${NAME} WITH (FORCE)`)
      await onPrimary(`CREATE DATABASE ${NAME}`)
    },
    async drop() {
      await onPrimary(`DROP DATABASE IF EXISTS ${NAME} WITH (FORCE)`)
    },
  }
}

async function onPostgres(url: string, sql: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(sql, values)).rows
  } finally {
    await client.end()
  }
}

export async function mysqlAt(url: string): Promise<Shared> {
  const connection = await createConnection({ uri: url })
  const query = async (sql: string) => (await connection.query(sql))[0] as Record<string, unknown>[]
  return {
    primary: { type: 'mysql', url: withDatabase(url) },
    async endConnection(pick) {
      const rows = await query(`SELECT id AS id FROM information_schema.processlist WHERE db = '${NAME}'`)
      if (!rows.length) return false
      // it may have ended by itself
      return query(`KILL CONNECTION ${Number(pick(rows.map(r => r.id)))}`).then(
        () => true,
        () => false,
      )
    },
    async hasOpenTransaction() {
      const rows = await query(
        `SELECT p.id AS id FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
          WHERE p.db = '${NAME}' AND p.command = 'Sleep' AND t.trx_started < NOW() - INTERVAL 2 SECOND`,
      )
      return rows.length > 0
    },
    async lag() {},
    async catchUp() {},
    async clear() {
      await query(`DROP DATABASE IF EXISTS ${NAME}`)
      await query(`CREATE DATABASE ${NAME} CHARACTER SET utf8mb4`)
    },
    async drop() {
      await query(`DROP DATABASE IF EXISTS ${NAME}`)
      await connection.end()
    },
  }
}

function withDatabase(url: string): string {
  const own = new URL(url)
  own.pathname = `/${NAME}`
  return own.href
}
