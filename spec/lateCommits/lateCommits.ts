// Many write to a team's database at once, through the middleware and past it, and commit late; no reader may miss anything.
//   npm run late-commits -- [--database postgres|mysql] [--transactions 10000] [--seconds N at most] [--seed N] [--break lock|order|snapshot]
//
// A version that was committed, and known to be, before a reader asked has to be in that reader's copy when it has the answer.

import 'reflect-metadata'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { withSync } from '../../src/entity/withSync.js'
import { breakDatabase } from './breaks.js'
import { connect, createDatabase, dataSourceOn, dropDatabase, Item, type Kind, Part } from './database.js'
import { Reader } from './reader.js'
import { COLLECTIONS, type CollectionName, type Said, type Written, wait } from './words.js'

const option = (name: string, otherwise: string): string => {
  const i = process.argv.indexOf(`--${name}`)
  return i < 0 ? otherwise : (process.argv[i + 1] ?? otherwise)
}
const kind = option('database', 'postgres') as Kind
const transactions = Number(option('transactions', '10000'))
const seconds = Number(option('seconds', '3600'))
const seed = Number(option('seed', String(Date.now() % 1e6)))
const broken = option('break', '')
const database = `sync_late_${process.pid}_${seed}`

const committed: Record<CollectionName, Written[]> = { items: [], parts: [] }
const problems: string[] = []
let missed = 0
const rejected: Record<string, number> = {}
const by: Record<string, number> = {}
const counts = { ended: 0, rolledBack: 0, held: 0, heldMilliseconds: 0, longestHold: 0, retries: 0, versions: 0 }
const children: ChildProcess[] = []
const over = () => counts.ended >= transactions || performance.now() - start > seconds * 1000 || problems.length >= 20

function miss(text: string): void {
  missed++
  problems.push(text)
}

function hear(said: Said): void {
  if (said.said === 'problem') problems.push(said.text)
  if (said.said === 'rejected') rejected[said.why] = (rejected[said.why] ?? 0) + 1
  if (said.said !== 'transaction') return
  counts.ended++
  by[said.by] = (by[said.by] ?? 0) + 1
  counts.retries += said.retries
  if (!said.committed) counts.rolledBack++
  if (said.held) {
    counts.held++
    counts.heldMilliseconds += said.held
    counts.longestHold = Math.max(counts.longestHold, said.held)
  }
  counts.versions += said.written.length
  for (const each of said.written) committed[each.collection].push(each)
}

async function startProcess(file: string, ...args: string[]): Promise<{ child: ChildProcess; port: number | undefined }> {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, { execArgv: ['--enable-source-maps'] })
  children.push(child)
  const ready = new Promise<number | undefined>((resolve, reject) => {
    child.on('message', (said: Said) => (said.said === 'ready' ? resolve(said.port) : hear(said)))
    child.on('exit', code => {
      reject(new Error(`${file} did not start`))
      if (code) problems.push(`${file} ended by itself: ${code}`)
    })
  })
  return { child, port: await ready }
}

/** What was committed, and heard of, before the reader asked. */
function missing(reader: Reader, collection: CollectionName, from: number, to: number): void {
  for (const { id, version, text } of committed[collection].slice(from, to)) {
    const copied = reader.copies[collection].get(id)
    const isRemoved = reader.removed[collection].has(id)
    const what = version === null ? 'the removal' : `version ${version} (${text})`
    if (version === null ? copied : copied ? copied.version < version : !isRemoved)
      miss(`${reader.name} missed ${what} of ${collection} ${id}; it has ${copied ? JSON.stringify(copied) : 'nothing'}`)
    else if (version !== null && copied?.version === version && copied.text !== text)
      miss(`${reader.name} has version ${version} of ${collection} ${id} as ${JSON.stringify(copied)}, not ${text}`)
  }
}

async function follow(reader: Reader, isOver: () => boolean): Promise<void> {
  const checked: Record<CollectionName, number> = { items: 0, parts: 0 }
  for (let quiet = 0; quiet < 2; ) {
    const mayEnd = isOver()
    let rows = 0
    for (const collection of COLLECTIONS) {
      const known = committed[collection].length
      rows += await reader.read([collection])
      missing(reader, collection, checked[collection], known)
      checked[collection] = known
    }
    quiet = mayEnd && !rows ? quiet + 1 : 0
    if (!mayEnd) await wait(Math.random() * 20)
  }
}

async function compare(readers: readonly Reader[]): Promise<void> {
  const session = await connect(kind, database)
  for (const [collection, sql] of [
    ['items', 'SELECT id, text, version FROM item'],
    ['parts', 'SELECT id, text, version, item FROM part'],
  ] as const) {
    const table = new Map((await session.query(sql)).map(row => [String(row.id), row]))
    for (const { name, copies } of readers) {
      const copy = copies[collection]
      for (const [id, row] of table) {
        const copied = copy.get(id)
        if (!copied || ['text', 'version', 'item'].some(p => (copied as never)[p] !== row[p]))
          miss(`in the end ${name} has ${JSON.stringify(copied)} of ${collection}, the table ${JSON.stringify(row)}`)
      }
      for (const id of copy.keys()) if (!table.has(id)) miss(`in the end ${name} has ${collection} ${id}, which is gone`)
    }
  }
  await session.end()
}

async function seedRows(): Promise<void> {
  const dataSource = await withSync(dataSourceOn(kind, database, true)).initialize()
  for (let i = 0; i < 40; i++) {
    const item = await dataSource.manager.save(Item, { id: `first-${i}`, text: 'first', version: 1 })
    await dataSource.manager.save(
      Part,
      Array.from({ length: 3 }, (_, k) => ({ id: `first-${i}-${k}`, item, text: 'first', version: 1 })),
    )
  }
  await dataSource.destroy()
}

let start = performance.now()
async function run(): Promise<Reader[]> {
  await seedRows()
  const servers = await Promise.all([1, 2].map(() => startProcess('./server.js', kind, database, broken)))
  const urls = servers.map(({ port }) => `http://127.0.0.1:${port}`)
  const ways = [
    ['post', 'post', 'post'],
    ['host', 'host'],
    ['host', 'raw'],
    ['raw', 'script'],
  ]
  const writers = await Promise.all(
    ways.map((some, i) => startProcess('./writer.js', kind, database, String(seed * 100 + i * 10), urls.join(), ...some)),
  )
  if (broken) {
    const session = await connect(kind, database)
    await breakDatabase(session, kind, broken)
    await session.end()
  }
  let turn = 0
  const readers = [
    new Reader('the reader of the first server', () => urls[0] as string, { withETag: true }, miss),
    new Reader('the reader of the second server', () => urls[1] as string, {}, miss),
    new Reader('the reader in pages', () => urls[turn++ % 2] as string, { limit: 7 }, miss),
  ]
  // a first answer has no removals: readers begin before any writer
  for (const reader of readers) await reader.read()
  start = performance.now()
  let areWriting = true
  const following = readers.map(reader => follow(reader, () => !areWriting))
  for (const { child } of writers) child.send('go')
  const progress = setInterval(() => {
    const { ended, held, retries } = counts
    const now = ((performance.now() - start) / 1000).toFixed(0)
    console.log(
      `${now} s: ${ended} transactions, ${held} held open, ${retries} retries, ${committed.items.length + committed.parts.length} versions`,
    )
  }, 15_000)
  const ended = Promise.all(writers.map(({ child }) => once(child, 'exit')))
  while (!over()) await wait(20)
  for (const { child } of writers) child.send('stop')
  await ended
  areWriting = false
  await Promise.all(following)
  clearInterval(progress)
  return readers
}

let readers: Reader[] = []
try {
  await createDatabase(kind, database)
  readers = await run()
  await compare(readers)
} catch (error) {
  problems.push((error as Error).stack ?? String(error))
} finally {
  for (const child of children) child.kill()
  await dropDatabase(kind, database).catch(error => problems.push(String(error)))
}

for (const text of problems.slice(0, 8)) console.log(text.split('\n').slice(0, 4).join('\n').slice(0, 600))
if (problems.length > 8) console.log(`and ${problems.length - 8} more`)
const sum = (what: 'reads' | 'rows' | 'busy') => readers.reduce((total, reader) => total + reader[what], 0)
console.log(
  `${kind}${broken && `, ${broken} broken`}: ${counts.ended} transactions (${JSON.stringify(by)}), ${counts.rolledBack} rolled back, ` +
    `${counts.held} held open, the longest for ${(counts.longestHold / 1000).toFixed(2)} s, all for ${(counts.heldMilliseconds / 1000).toFixed(0)} s; ` +
    `${counts.versions} versions; ${sum('reads')} reads, ${sum('rows')} rows read, ${sum('busy')} times busy; ` +
    `${counts.retries} retries, rejected ${JSON.stringify(rejected)}; ${((performance.now() - start) / 1000).toFixed(0)} s, seed ${seed}`,
)
console.log(
  `${missed ? `MISSED: ${missed}` : 'no reader missed anything'}${problems.length > missed ? `; other problems: ${problems.length - missed}` : ''}`,
)
process.exit(problems.length || !counts.ended ? 1 : 0)
