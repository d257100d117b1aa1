// Statements on PostgreSQL and MariaDB that are done when the call returns: a thread of its own speaks to the database, and this one waits.

import { fileURLToPath } from 'node:url'
import { isMainThread, MessageChannel, type MessagePort, receiveMessageOnPort, Worker, workerData } from 'node:worker_threads'
import mysql from 'mysql2/promise'
import pg from 'pg'
import type { Row } from '../../src/databases/database.js'

export interface Statement {
  readonly sql: string
  readonly values?: readonly unknown[]
}
interface Asked {
  readonly url: string
  /** Undefined: the connection is closed. */
  readonly statements: readonly Statement[] | undefined
}
type Answered = { readonly rows: Row[][] } | { readonly error: { message: string; code: unknown; errno: unknown } }

const PATIENCE = 120_000
let thread: { port: MessagePort; signal: Int32Array } | undefined

/** Runs statements one after the other on a connection to this URL, which stays open; gives the rows of each. */
export function runNow(url: string, ...statements: readonly Statement[]): Row[][] {
  return ask({ url, statements })
}

export function closeNow(url: string): void {
  ask({ url, statements: undefined })
}

function ask(asked: Asked): Row[][] {
  thread ??= start()
  const { port, signal } = thread
  Atomics.store(signal, 0, 0)
  port.postMessage(asked)
  // the wake-up of the answer before may come late
  while (Atomics.load(signal, 0) === 0)
    if (Atomics.wait(signal, 0, 0, PATIENCE) === 'timed-out') throw new Error(`No answer to ${JSON.stringify(asked)}`)
  const answered: Answered = receiveMessageOnPort(port)?.message
  if ('rows' in answered) return answered.rows
  const { message, code, errno } = answered.error
  throw Object.assign(new Error(`${message}, for ${JSON.stringify(asked.statements).slice(0, 1_000)}`), { code, errno })
}

function start(): NonNullable<typeof thread> {
  const { port1, port2 } = new MessageChannel()
  const signal = new Int32Array(new SharedArrayBuffer(4))
  const worker = new Worker(fileURLToPath(import.meta.url), { workerData: { port: port2, signal }, transferList: [port2] })
  worker.unref()
  port1.unref()
  return { port: port1, signal }
}

// ---------------------------------------------------------------- the thread

interface Connection {
  run(statement: Statement): Promise<Row[]>
  close(): Promise<unknown>
}

// as the engine reads them
const INTEGERS = new Set([20, 21, 23])
const TYPES = {
  getTypeParser: (type: number) => (text: string) => (type === 16 ? text === 't' : INTEGERS.has(type) ? Number(text) : text),
}

async function connect(url: string): Promise<Connection> {
  if (url.startsWith('postgres')) {
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => {})
    await client.connect()
    // as a transaction of the engine does, whose statements look at what is there
    await client.query("SET typeorm_sync.schemas = '{public}'")
    return {
      async run({ sql, values = [] }) {
        // several statements in one text give a list
        const result = await client.query({ text: sql, values: [...values], types: TYPES as never })
        return [result].flat().at(-1)?.rows ?? []
      },
      close: () => client.end(),
    }
  }
  const connection = await mysql.createConnection({ uri: url, multipleStatements: true })
  return {
    async run({ sql }) {
      const [rows] = await connection.query(sql)
      return Array.isArray(rows) ? (rows as Row[]) : []
    },
    close: () => connection.end(),
  }
}

function serve(port: MessagePort, signal: Int32Array): void {
  const connections = new Map<string, Connection>()
  async function answer({ url, statements }: Asked): Promise<Answered> {
    try {
      if (!statements) {
        await connections.get(url)?.close()
        connections.delete(url)
        return { rows: [] }
      }
      const connection = connections.get(url) ?? (await connect(url))
      connections.set(url, connection)
      const rows: Row[][] = []
      for (const statement of statements) rows.push(await connection.run(statement))
      return { rows }
    } catch (error) {
      const { message, code, errno } = error as Error & { code?: unknown; errno?: unknown }
      return { error: { message, code, errno } }
    }
  }
  port.on('message', async asked => {
    port.postMessage(await answer(asked))
    Atomics.store(signal, 0, 1)
    Atomics.notify(signal, 0)
  })
}

if (!isMainThread && workerData?.signal) serve(workerData.port, workerData.signal)
