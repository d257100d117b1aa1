// A server, Alice and Bob, with notes in folders: for histories that are written request by request. With SYNC_WIRE=routes the server has no feed.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from '@jest/globals'
import libsql from 'libsql'
import { DataSource, EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import { collectTombstones } from 'typeorm-sync/server-koa'
import { query } from '../../src/databases/database.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { type HookedOptions, withHooks } from '../../src/entity/withSync.js'
import { device, rowsIn, startServer, syncAlone, Wire, withoutFeed } from '../stories/devices.js'

export { rowsIn }

const text = { type: 'varchar' } as const

export interface Note {
  id: string
  title: string
  body: string | null
  slug: string | null
  folder: { id: string } | null
}

export const Folder = new EntitySchema<{ id: string; name: string }>({
  ...{ name: 'Folder', tableName: 'folder' },
  columns: { id: { ...text, primary: true }, name: text },
})
export const Note = new EntitySchema<Note>({
  ...{ name: 'Note', tableName: 'note' },
  columns: {
    id: { ...text, primary: true },
    title: text,
    body: { ...text, nullable: true },
    slug: { ...text, nullable: true, unique: true },
  },
  relations: { folder: { type: 'many-to-one', target: 'Folder', nullable: true, onDelete: 'CASCADE' } },
})
enableSync(Folder, '/folders')
enableSync(Note, '/notes')
export const entities = [Folder, Note]
export const TABLES = ['folder', 'note']

const open: (() => Promise<unknown>)[] = []
/** Is ended after the test, last come first served. */
export const closing = (end: () => Promise<unknown>) => open.unshift(end)
afterEach(async () => {
  for (const end of open.splice(0)) await end()
})

/** Has the server a feed, or is it synced collection by collection? */
export const hasFeed = process.env.SYNC_WIRE !== 'routes'

/** What comes before the routes; for servers of a spec's own. */
export const beforeRoutes = hasFeed ? [] : [withoutFeed]

export async function server(options: HookedOptions = {}) {
  const started = await startServer(entities, { options, before: beforeRoutes })
  closing(() => started.stop())
  return started
}

const alone = new Set<Wire>()

/**
 * What a wire shows: everything, or, where collections are synced one by one, what concerns notes, and what is pushed; so that a history counts
 * the same requests.
 */
const through =
  (wire: Wire): typeof fetch =>
  (input, init) => {
    const isShown = hasFeed || alone.has(wire) || init?.method === 'POST' || new URL(String(input)).pathname === '/notes'
    return (isShown ? wire.fetch : fetch)(input, init)
  }

/** Syncs one collection, where that is possible: as `syncAlone` of the stories. */
export async function syncOnly({ dataSource, wire }: { dataSource: DataSource; wire: Wire }, path: string) {
  alone.add(wire)
  return await syncAlone(dataSource, wire, path).finally(() => alone.delete(wire))
}

export async function client(url: string, options: Omit<HookedOptions, 'server'> = {}) {
  const wire = new Wire()
  const dataSource = await device(entities, url, { fetch: through(wire), ...options })
  closing(() => dataSource.destroy())
  return { dataSource, wire, notes: dataSource.getRepository(Note), folders: dataSource.getRepository(Folder) }
}

/** Two processes on one file, as two windows of an application are; `before` fills it before it is synced. */
export async function twoWindows(url: string, options: Omit<HookedOptions, 'server'> = {}, before?: (of: DataSource) => Promise<void>) {
  const folder = mkdtempSync(join(tmpdir(), 'windows-'))
  closing(async () => rmSync(folder, { recursive: true }))
  const windows: Awaited<ReturnType<typeof client>>[] = []
  const open = (synchronize: boolean) =>
    new DataSource({ type: 'better-sqlite3', driver: libsql, database: join(folder, 'db'), entities, synchronize })
  if (before) {
    const plain = await open(true).initialize()
    await before(plain)
    await plain.destroy()
  }
  for (const synchronize of [true, false]) {
    const wire = new Wire()
    const dataSource = open(synchronize)
    await withHooks(dataSource, { server: url, fetch: through(wire), retries: 0, ...options }).initialize()
    closing(() => dataSource.destroy())
    windows.push({ dataSource, wire, notes: dataSource.getRepository(Note), folders: dataSource.getRepository(Folder) })
  }
  return windows as [(typeof windows)[0], (typeof windows)[0]]
}

export const put = (of: DataSource, id: string, title = id, more: { slug?: string; folderId?: string; body?: string } = {}) => {
  const names = ['id', 'title', ...Object.keys(more)]
  const places = names.map(() => '?').join(', ')
  return of.query(`INSERT INTO note (${names.map(n => `"${n}"`).join(', ')}) VALUES (${places})`, [id, title, ...Object.values(more)])
}
export const edit = (of: DataSource, id: string, title: string) => of.query('UPDATE note SET title = ? WHERE id = ?', [title, id])
export const drop = (of: DataSource, id: string) => of.query('DELETE FROM note WHERE id = ?', [id])
export const titles = async (of: DataSource): Promise<Record<string, string>> =>
  Object.fromEntries((await of.query('SELECT id, title FROM note ORDER BY id')).map((n: Note) => [n.id, n.title]))

export const nowOf = async (of: DataSource): Promise<number> => Number((await of.query('SELECT now FROM sync_clock'))[0].now)

/** The server forgets every removal that there was. */
export const forgetRemovals = (of: DataSource) => collectTombstones(of, { olderThan: -1_000_000 })

/** What a transaction of the engine would do: our triggers keep still. */
export async function unseen(of: DataSource, ...statements: string[]): Promise<void> {
  await changeLogOf(of).database.transaction(function* () {
    for (const sql of statements) yield* query(sql)
  })
}

export class Cut extends TypeError {
  constructor() {
    super('fetch failed')
  }
}
