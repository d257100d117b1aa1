// Writers that know nothing of the library: raw connections, and the command line.

import type { Random } from '../simulation/random.js'
import { type Kind, mayPass, type Row, runScript, type Session } from './database.js'
import { holdOf, say, type Written, wait } from './words.js'
import type { Write } from './writer.js'

export type Run = (sql: string) => Promise<Row[]>

const TABLES = { items: 'item', parts: 'part' } as const
export const random = (kind: Kind) => (kind === 'postgres' ? 'random()' : 'RAND()')

export async function anyId(run: Run, kind: Kind, table: 'item' | 'part'): Promise<string | undefined> {
  return (await run(`SELECT id FROM ${table} ORDER BY ${random(kind)} LIMIT 1`))[0]?.id as string | undefined
}

/** What of a transaction stands in the database: the rows whose text is one of its own, and which of the removed ids are gone. Asked before its commit. */
export function writtenSql(token: string, removed: readonly (readonly [table: 'item' | 'part', id: string])[]): string {
  return [
    ...Object.entries(TABLES).map(
      ([collection, table]) => `SELECT '${collection}' AS collection, id, version, text FROM ${table} WHERE text LIKE '${token}.%'`,
    ),
    ...removed.map(
      ([table, id]) =>
        `SELECT '${table}s' AS collection, v.id AS id, NULL AS version, '' AS text FROM (SELECT '${id}' AS id) v
           WHERE NOT EXISTS (SELECT 1 FROM ${table} x WHERE x.id = v.id)`,
    ),
  ].join(' UNION ALL ')
}

export function writtenOf(rows: readonly Row[]): Written[] {
  return rows.map(({ collection, id, version, text }) => ({
    collection: collection as Written['collection'],
    id: String(id),
    version: version === null || version === '' || version === 'NULL' ? null : Number(version),
    text: String(text),
  }))
}

/** Deadlocks are the writer's own business: it does the same transaction again. Gives how often, or undefined where a parent was gone. */
export async function again(work: () => Promise<void>): Promise<number | undefined> {
  for (let retries = 0; ; retries++) {
    try {
      await work()
      return retries
    } catch (error) {
      const why = mayPass(error)
      if (why === undefined || retries >= 200) throw error
      if (why === 'parent') {
        say({ said: 'rejected', why: 'parent gone' })
        return
      }
      await wait(Math.random() * 20)
    }
  }
}

interface Statements {
  readonly sql: string[]
  readonly removed: [table: 'item' | 'part', id: string][]
}

/** One change as SQL, of rows that were there a moment ago. */
async function change(run: Run, kind: Kind, { chance, pick, next }: Random, token: string): Promise<Statements> {
  const text = `${token}.${Math.floor(next() * 1e9)} é✓`
  const [count] = await run('SELECT count(*) AS n FROM item')
  const size = Number(count?.n)
  const [item, part] = [await anyId(run, kind, 'item'), await anyId(run, kind, 'part')]
  const insert = (id: string, parts: number) => [
    `INSERT INTO item (id, text, version) VALUES ('${id}', '${text}', 1)`,
    ...(parts
      ? [
          `INSERT INTO part (id, item, text, version) VALUES ${Array.from({ length: parts }, (_, i) => `('${id}-${i}', '${id}', '${text}', 1)`).join(', ')}`,
        ]
      : []),
  ]
  if (item === undefined || part === undefined || size < 30 || chance(0.08))
    return { sql: insert(`${token}-${Math.floor(next() * 1e9)}`, Math.floor(next() * 7)), removed: [] }
  if (size > 60 || chance(0.04)) return { sql: [`DELETE FROM item WHERE id = '${item}'`], removed: [['item', item]] }
  const set = `SET text = '${text}', version = version + 1`
  const upsert =
    kind === 'postgres'
      ? `ON CONFLICT (id) DO UPDATE SET text = excluded.text, version = part.version + 1`
      : `ON DUPLICATE KEY UPDATE text = VALUES(text), version = part.version + 1`
  return pick<() => Statements>([
    () => ({ sql: [`UPDATE item ${set} WHERE id = '${item}'`], removed: [] }),
    () => ({ sql: [`UPDATE part ${set} WHERE id = '${part}'`], removed: [] }),
    () => ({ sql: [`UPDATE part ${set} WHERE item = '${item}'`], removed: [] }),
    () => ({ sql: [`UPDATE part ${set} WHERE id = '${part}'`, `UPDATE item ${set} WHERE id = '${item}'`], removed: [] }),
    () => ({ sql: [`DELETE FROM part WHERE id = '${part}'`], removed: [['part', part]] }),
    () => ({
      sql: [
        `INSERT INTO part (id, item, text, version) SELECT s.id, s.item, '${text}', 1 FROM part s WHERE s.id = '${part}' FOR UPDATE ${upsert}`,
      ],
      removed: [],
    }),
    () => ({
      sql: [
        `INSERT INTO part (id, item, text, version) SELECT concat('${token}-', '${Math.floor(next() * 1e9)}-', id), id, '${text}', 1 FROM item ORDER BY id LIMIT 5`,
      ],
      removed: [],
    }),
  ])()
}

/** The same id once more: within a transaction, so that its versions go on. */
async function replacePart(run: Run, kind: Kind, token: string, next: () => number): Promise<void> {
  const id = await anyId(run, kind, 'part')
  const [row] = await run(`SELECT item, version FROM part WHERE id = '${id}' FOR UPDATE`)
  if (!row) return
  await run(`DELETE FROM part WHERE id = '${id}'`)
  await run(
    `INSERT INTO part (id, item, text, version) VALUES ('${id}', '${row.item}', '${token}.${Math.floor(next() * 1e9)}', ${Number(row.version) + 1})`,
  )
}

const ISOLATION = ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE']

/** Begins a transaction, also of another isolation than the database's own. */
function beginning(kind: Kind, isolation: string | undefined): string[] {
  if (isolation === undefined) return ['BEGIN']
  return kind === 'postgres' ? [`BEGIN ISOLATION LEVEL ${isolation}`] : [`SET TRANSACTION ISOLATION LEVEL ${isolation}`, 'BEGIN']
}

export function rawWriter(name: string, kind: Kind, session: Session, random: Random): Write {
  const { chance, next, pick } = random
  const run: Run = sql => session.query(sql)
  let transactions = 0
  return async () => {
    const token = `${name}.${++transactions}`
    let [held, written, isCommitted]: [number, Written[], boolean] = [0, [], false]
    const retries = await again(async () => {
      ;[held, written, isCommitted] = [0, [], false]
      if (chance(0.2)) {
        // no transaction at all: each statement is one
        const { sql, removed } = await change(run, kind, random, token)
        await run(sql[0] as string)
        written = writtenOf(await run(writtenSql(token, removed)))
        isCommitted = true
        return
      }
      for (const sql of beginning(kind, chance(0.3) ? pick(ISOLATION) : undefined)) await run(sql)
      try {
        const removed: Statements['removed'] = []
        const hold = async () => {
          const milliseconds = holdOf(next())
          held += milliseconds
          await wait(milliseconds)
        }
        const isHeld = chance(0.05)
        // before the first write, when only the snapshot is old
        if (isHeld && chance(0.2)) await hold()
        const changes = 1 + Math.floor(next() * 3)
        for (let i = 0; i < changes; i++) {
          const isUndone = chance(0.2)
          if (isUndone) await run('SAVEPOINT undone')
          if (chance(0.1)) await replacePart(run, kind, token, next)
          else {
            const some = await change(run, kind, random, token)
            for (const sql of some.sql) await run(sql)
            if (!isUndone) removed.push(...some.removed)
          }
          if (isUndone) await run('ROLLBACK TO SAVEPOINT undone')
          if (isHeld && i === 0) await hold()
        }
        written = writtenOf(await run(writtenSql(token, removed)))
        isCommitted = !chance(0.25)
        await run(isCommitted ? 'COMMIT' : 'ROLLBACK')
      } catch (error) {
        await run('ROLLBACK')
        throw error
      }
    })
    if (retries !== undefined)
      say({ said: 'transaction', by: 'raw', committed: isCommitted, held, retries, written: isCommitted ? written : [] })
  }
}

export function scriptWriter(name: string, kind: Kind, database: string, session: Session, random: Random): Write {
  const { chance, next } = random
  let transactions = 0
  const sleep = (milliseconds: number) =>
    kind === 'postgres' ? `DO $$ BEGIN PERFORM pg_sleep(${milliseconds / 1000}); END $$` : `DO SLEEP(${milliseconds / 1000})`
  return async () => {
    const token = `${name}.${++transactions}`
    const held = chance(0.05) ? holdOf(next()) : 0
    const isCommitted = !chance(0.25)
    let written: Written[] = []
    const retries = await again(async () => {
      const { sql, removed } = await change(sql => session.query(sql), kind, random, token)
      const script = ['BEGIN', ...sql, ...(held ? [sleep(held)] : []), writtenSql(token, removed), isCommitted ? 'COMMIT' : 'ROLLBACK']
      const lines = await runScript(kind, database, `${script.join(';\n')};\n`)
      written = writtenOf(lines.map(([collection, id, version, text]) => ({ collection, id, version, text })))
    })
    if (retries !== undefined)
      say({ said: 'transaction', by: 'script', committed: isCommitted, held, retries, written: isCommitted ? written : [] })
  }
}
