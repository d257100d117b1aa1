// A team's database, and the ways into it: the library, TypeORM alone, a raw connection, the command line.

import { spawn } from 'node:child_process'
import mysql from 'mysql2/promise'
import pg from 'pg'
import { Column, DataSource, type DataSourceOptions, Entity, JoinColumn, ManyToOne, PrimaryColumn, type Relation } from 'typeorm'
import { enableSync } from '../../src/entity/enableSync.js'

export type Kind = 'postgres' | 'mysql'
export type Row = Record<string, unknown>

@Entity('item')
export class Item {
  @PrimaryColumn('varchar', { length: 80 }) id!: string
  @Column('varchar', { length: 200 }) text!: string
  @Column('int') version!: number
}
enableSync(Item, '/items')

@Entity('part')
export class Part {
  @PrimaryColumn('varchar', { length: 80 }) id!: string
  @Column('varchar', { length: 200 }) text!: string
  @Column('int') version!: number
  @ManyToOne(() => Item, { onDelete: 'CASCADE', nullable: false }) @JoinColumn({ name: 'item' }) item!: Relation<Item>
}
enableSync(Part, '/parts')

const CANDIDATES: Record<Kind, string> = {
  postgres: process.env.POSTGRES_URL ?? 'postgres://postgres@127.0.0.1:5432/test',
  mysql: process.env.MYSQL_URL ?? 'mysql://root@127.0.0.1:3306/test',
}

export function urlOf(kind: Kind, database?: string): string {
  const url = new URL(CANDIDATES[kind])
  if (database !== undefined) url.pathname = `/${database}`
  return url.href
}

export function dataSourceOn(kind: Kind, database: string, synchronize = false): DataSource {
  return new DataSource({
    type: kind === 'mysql' ? 'mariadb' : kind,
    url: urlOf(kind, database),
    entities: [Item, Part],
    synchronize,
  } as DataSourceOptions)
}

/** A connection that knows nothing of the library. */
export interface Session {
  query(sql: string): Promise<Row[]>
  end(): Promise<void>
}

export async function connect(kind: Kind, database?: string): Promise<Session> {
  if (kind === 'postgres') {
    const client = new pg.Client({ connectionString: urlOf(kind, database) })
    await client.connect()
    return { query: async sql => (await client.query(sql)).rows ?? [], end: () => client.end() }
  }
  const connection = await mysql.createConnection({ uri: urlOf(kind, database), charset: 'utf8mb4' })
  return {
    async query(sql) {
      const [rows] = await connection.query(sql)
      return Array.isArray(rows) ? (rows as Row[]) : []
    },
    end: () => connection.end(),
  }
}

async function administer(kind: Kind, ...statements: string[]): Promise<void> {
  const session = await connect(kind)
  for (const sql of statements) await session.query(sql)
  await session.end()
}

export async function createDatabase(kind: Kind, name: string): Promise<void> {
  await administer(kind, `CREATE DATABASE ${name}${kind === 'mysql' ? ' CHARACTER SET utf8mb4' : ''}`)
  // deadlocks are part of the trial, a second of waiting for each is not
  if (kind === 'postgres') await administer(kind, `ALTER DATABASE ${name} SET deadlock_timeout = '100ms'`)
}

export const dropDatabase = (kind: Kind, name: string) =>
  administer(kind, kind === 'postgres' ? `DROP DATABASE IF EXISTS ${name} WITH (FORCE)` : `DROP DATABASE IF EXISTS ${name}`)

/** Runs a script with the command line client of the database; resolves to its lines, cells parted by tabs. Rejects with what it complained of. */
export function runScript(kind: Kind, database: string, script: string): Promise<string[][]> {
  const url = new URL(urlOf(kind, database))
  const password = decodeURIComponent(url.password)
  const [command, args] =
    kind === 'postgres'
      ? ['psql', ['-X', '-q', '-A', '-t', '-F', '\t', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose', '-d', url.href]]
      : [
          'mysql',
          ['-h', url.hostname, '-P', url.port || '3306', '-u', decodeURIComponent(url.username), '-N', '-B']
            .concat(password ? [`-p${password}`] : [])
            .concat('--default-character-set=utf8mb4', database),
        ]
  return new Promise((resolve, reject) => {
    const child = spawn(command as string, args as string[], { stdio: ['pipe', 'pipe', 'pipe'] })
    let [output, complaint] = ['', '']
    child.stdout.setEncoding('utf8').on('data', data => {
      output += data
    })
    child.stderr.setEncoding('utf8').on('data', data => {
      complaint += data
    })
    child.on('error', reject)
    child.on('close', code => {
      if (code === 0) return resolve(output.split('\n').flatMap(line => (line.includes('\t') ? [line.split('\t')] : [])))
      const found = /ERROR:\s+([0-9A-Z]{5}):|ERROR (\d+)/.exec(complaint)
      reject(Object.assign(new Error(complaint), { code: found?.[1], errno: Number(found?.[2]) }))
    })
    child.stdin.end(script)
  })
}

type DatabaseError = Error & { code?: string; errno?: number; driverError?: DatabaseError }

/** Deadlocks, locks, and no free connection: the writer does it again. Likewise with a parent that another one removed meanwhile. */
export function mayPass(error: unknown): 'lock' | 'parent' | undefined {
  const { code = '', errno = 0 } = (error as DatabaseError).driverError ?? (error as DatabaseError)
  if (['40P01', '40001', '55P03', '53300'].includes(code) || [1213, 1205, 1020, 1040].includes(errno)) return 'lock'
  // psql gives no code for it
  if (/too many (clients|connections)/i.test((error as Error).message)) return 'lock'
  return code === '23503' || errno === 1452 ? 'parent' : undefined
}
