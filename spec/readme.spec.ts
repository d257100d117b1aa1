// Runs README.md and docs/: every TypeScript snippet in the order of the pages, and every curl, against the server of the README.

import { TABLES as mysql } from '../src/databases/mysql/tables.js'
import { TABLES as postgres } from '../src/databases/postgres/tables.js'
import { TABLES as sqlite } from '../src/databases/sqlite/tables.js'
import 'reflect-metadata'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Options, transformSync } from '@swc/core'
import Koa from 'koa'
import { DataSource } from 'typeorm'
import * as client from 'typeorm-sync'
import { journal, SyncError, syncAll, withSync } from 'typeorm-sync'
import * as server from 'typeorm-sync/server-koa'
import { curl } from './support/curl.js'
import { type Issuer, startIssuer } from './support/issuer.js'
import { deadLinks, filesNamedIn } from './support/markdown.js'
import { needsBrowser, pageNamed, pages, root, type Snippet, snippets } from './support/readme.js'
import { until } from './support/until.js'

let folder: string
let port: number
let notesPort: number
let issuer: Issuer
const modules: Record<string, any> = {}
const printed: string[] = []
const resolved: unknown[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'typeorm-sync-'))
  port = await freePort()
  notesPort = await freePort()
  issuer = await startIssuer()
  process.env.ISSUER = issuer.url
})
afterAll(async () => {
  await modules['client.ts']?.dataSource.destroy()
  await modules['relay.ts']?.relay.destroy()
  await modules['maintenance.ts']?.stop()
  await modules['listServer.ts']?.lists.destroy()
  issuer.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function freePort(): Promise<number> {
  const socket = createServer().listen(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port: free } = socket.address() as AddressInfo
  socket.close()
  await once(socket, 'close')
  return free
}

// ---------------------------------------------------------------- running a snippet

// the transform of jest, so that a snippet is compiled as the specs are
const jestConfig: { exports?: { transform: Record<string, [string, Options]> } } = {}
new Function('module', readFileSync(join(root, 'jest.config.js'), 'utf8').replace('export default', 'module.exports ='))(jestConfig)
const [, swc] = Object.values(jestConfig.exports!.transform)[0]!

const AsyncFunction = (async () => {}).constructor as new (...parameters: string[]) => (...values: unknown[]) => Promise<void>

async function run({ code, file }: Snippet): Promise<void> {
  const here = code
    .replaceAll(/'([\w-]+\.sqlite)'/g, (_, name) => JSON.stringify(join(folder, name)))
    .replaceAll(/\b3000\b/g, String(file === 'note.ts' ? notesPort : port))
  const { code: script } = transformSync(here, { ...swc, sourceMaps: false, filename: file ?? 'snippet.ts' })
  const module = { exports: {} as Record<string, unknown> }
  const names: Record<string, unknown> = {
    ...client,
    ...server,
    ...Object.assign({}, ...Object.values(modules)),
    askTheUser: async ({ local }: client.Conflict) => local !== null,
    console: { log: (...values: unknown[]) => printed.push(values.join(' ')) },
    module,
    exports: module.exports,
    require: (name: string) => modules[name.replace(/^\.\/(.*)\.js$/, '$1.ts')] ?? require(name),
  }
  // a block of its own, so that a snippet may give its own things any name
  await new AsyncFunction(...Object.keys(names), `{\n${script}\n}`)(...Object.values(names))
  if (file) modules[file] = module.exports
}

// ---------------------------------------------------------------- what a snippet needs

let number = 0
const tell = (rows: object[]) =>
  fetch(`http://localhost:${port}/taskChanges`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(rows),
  })

/** A conflict about a name and a mark, and one about a removal. */
async function disagree(): Promise<void> {
  const { Task } = modules['task.ts']
  const edited = await Task.save({ name: `Edited ${++number}` })
  const removed = await Task.save({ name: `Removed ${number}` })
  await syncAll(modules['client.ts'].dataSource, client.preferLocalConflictHandler)
  await tell([
    { id: edited.id, name: `Edited there ${number}`, done: true },
    { id: removed.id, _removed: true },
  ])
  await Task.update(edited.id, { name: `Edited here ${number}` })
  await Task.update(removed.id, { name: `Removed, but edited here ${number}` })
}

/** What a journal may hold: a conflict, two rows with one name, a row that was rejected by a rule of the server's alone, one that is pending. */
async function fillJournal(): Promise<void> {
  const { Task } = modules['task.ts']
  await modules['server.ts'].database.query('CREATE UNIQUE INDEX one_name ON task (lower(name))')
  await modules['client.ts'].dataSource.query('CREATE UNIQUE INDEX one_name ON task (name)')
  await disagree()
  // its id comes before the others: the decision about it is not the latest
  await tell([
    { id: '0', name: 'Same' },
    { id: 'taken', name: 'Taken' },
  ])
  await Task.save({ name: 'Same' })
  await Task.save({ name: 'TAKEN' })
  await syncAll(modules['client.ts'].dataSource)
  await Task.save({ name: 'Not pushed yet' })
}

// ---------------------------------------------------------------- the snippets

const inOrder = snippets.filter(s => s.language === 'ts' && !needsBrowser(s))
const titleOf = ({ page, file, heading, line }: Snippet) => `${file ?? heading}, ${page}, line ${line}`
const isAboutConflicts = ({ page, heading }: Snippet) => page === 'docs/conflicts.md' || heading === 'A conflict handler'

describe('a snippet runs:', () => {
  test.each(inOrder.map(s => [titleOf(s), s] as const))('%s', async (_, snippet) => {
    if (snippet.page === 'docs/journal.md') await fillJournal()
    else if (isAboutConflicts(snippet) && snippet.code.includes('syncAll(')) await disagree()
    await run(snippet)
    // noted at once, for the journal's snippet undoes one
    if (isAboutConflicts(snippet)) resolved.push(...(await decidedNames()))
  })
})

test('no snippet of TypeScript has the name of another one', () => {
  const files = inOrder.flatMap(({ file }) => file ?? [])
  expect(files.length).toBeGreaterThan(8)
  expect(files.filter((file, i) => files.indexOf(file) !== i)).toEqual([])
})

test('a snippet of JavaScript, which needs a framework that is not here, can be parsed', () => {
  const scripts = snippets.filter(s => s.language === 'js')
  expect(scripts.length).toBeGreaterThan(2)
  for (const { code } of scripts) transformSync(code, { ...swc, sourceMaps: false, filename: 'snippet.ts' })
})

test('what the first screen saved is on the server', async () => {
  const { updates } = (await (await fetch(`http://localhost:${port}/taskChanges?since=0`)).json()) as { updates: object[] }
  expect(updates).toContainEqual(expect.objectContaining({ name: 'Buy milk', done: false }))
})

async function decidedNames(): Promise<unknown[]> {
  const resolved = await journal<any>(modules['client.ts'].dataSource.getRepository('task')).resolved()
  return resolved.map(({ decision }) => decision?.name)
}

test('the handlers decided, and what one left alone was asked again', () => {
  expect(resolved).toContain('Edited there 1, Edited here 1')
  expect(resolved).toContain('Edited here 2')
  expect(resolved).toContain('Edited here 3')
  expect(resolved).toContain('Edited there 4, Edited here 4')
  // the first handler of docs/conflicts.md passes over removals
  expect(resolved).toContain('Removed, but edited here 2')
})

test('what keeps an application in sync syncs at once, and ends', async () => {
  const { Task } = modules['task.ts']
  const { dataSource } = modules['client.ts']
  Task.useDataSource(dataSource)
  await Task.save({ name: 'Kept in sync' })
  const kept = modules['keepInSync.ts'].keepInSync()
  try {
    const end = Date.now() + 10_000
    while (!(await namesAtServer()).includes('Kept in sync') && Date.now() < end) await new Promise(resolve => setTimeout(resolve, 20))
    expect(await namesAtServer()).toContain('Kept in sync')
    await syncAll(dataSource, client.preferLocalConflictHandler) // waits for the one that runs
    expect(printed.some(line => line.startsWith('syncing 1 '))).toBe(true)
    await modules['app.ts'].kept.stop()
    expect(printed.some(line => line.startsWith('idle, 0 pending, 0 conflicts'))).toBe(true)
  } finally {
    await kept.stop()
    Task.useDataSource(null)
  }
})

test('what is watched is shown, and again when it changes', async () => {
  const { openTasks, unsubscribe } = modules['watchOpenTasks.ts']
  const { dataSource } = modules['client.ts']
  const shows = (name: string) => until(() => printed.some(line => line.startsWith('open: ') && line.includes(name)))
  await shows('Buy milk')
  await dataSource.query(`INSERT INTO task (id, name, done) VALUES ('watched', 'Watched', false)`)
  await shows('Watched')
  unsubscribe()
  expect(openTasks.getSnapshot()).toMatchObject({ isLoading: false, error: undefined })
})

test('the journal’s snippet showed, decided, undid, made one row of two and changed a rejected one', async () => {
  const text = printed.join('\n')
  expect(text).toMatch(/not pushed yet: .*\n/)
  expect(text).toMatch(/conflict: .* contested/)
  expect(text).toMatch(/conflict: 0 not-unique/)
  expect(text).toMatch(/rejected by the server: .* not-unique/)
  const { Task } = modules['task.ts']
  Task.useDataSource(modules['client.ts'].dataSource)
  expect(await Task.findBy({ name: 'Same' })).toMatchObject([{ id: '0' }])
  expect(await Task.existsBy({ name: 'Taken' })).toBe(true) // the server's, which was pulled
  expect(await Task.countBy({ name: 'TAKEN (2)' })).toBe(1)
  Task.useDataSource(null)
})

test('a setting that two devices make is one row', async () => {
  const { Setting } = modules['setting.ts']
  const open = async (options: object) => {
    const dataSource = withSync(new DataSource({ type: 'sqljs', entities: [Setting], synchronize: true }), options)
    return await dataSource.initialize()
  }
  const database = await open({})
  const listening = new Koa().use(server.syncRoutes(database, { public: true }).routes()).listen(0)
  await once(listening, 'listening')
  const url = `http://localhost:${(listening.address() as AddressInfo).port}`
  const devices = [await open({ server: url }), await open({ server: url })]
  try {
    for (const device of devices) await device.getRepository(Setting).insert({ id: 'theme', value: 'dark' })
    for (const device of devices) expect(await syncAll(device)).toMatchObject({ conflicts: 0, unapplied: 0, rejected: 0 })
    expect(await database.getRepository(Setting).count()).toBe(1)
  } finally {
    listening.close()
    listening.closeAllConnections()
    for (const dataSource of [database, ...devices]) await dataSource.destroy()
  }
})

test('who signs out is asked about changes that were never pushed', async () => {
  const { removeDatabase } = modules['removeDatabase.ts']
  const { signOut } = modules['signOut.ts']
  const { Setting } = modules['setting.ts']
  const device = withSync(new DataSource({ type: 'sqljs', entities: [Setting], synchronize: true }), {
    server: 'http://localhost:9',
    retries: 0,
  })
  await device.initialize()
  await device.getRepository(Setting).insert({ id: 'theme', value: 'dark' })
  const asked: number[] = []
  expect(await signOut(device, async (rows: number) => asked.push(rows) < 0)).toBe(false)
  expect(await device.getRepository(Setting).count()).toBe(1)
  expect(await signOut(device, async (rows: number) => asked.push(rows) > 0)).toBe(true)
  expect([await device.getRepository(Setting).count(), asked]).toEqual([0, [1, 1]])

  await device.getRepository(Setting).insert({ id: 'theme', value: 'dark' })
  const removed: string[] = []
  const remove = async () => void removed.push('it')
  expect(await removeDatabase(device, async () => false, remove)).toBe(false)
  expect([device.isInitialized, removed]).toEqual([true, []])
  expect(await removeDatabase(device, async () => true, remove)).toBe(true)
  expect([device.isInitialized, removed]).toEqual([false, ['it']])
})

test('lists are shared, and taken back; tokens expire, and bad ones are no good', async () => {
  const { List, Member, Item, Country } = modules['lists.ts']
  const { lists, listApp } = modules['listServer.ts']
  await lists.getRepository(Country).insert({ id: 'FR', name: 'France' })
  const listening = listApp.listen(0)
  await once(listening, 'listening')
  const url = `http://localhost:${(listening.address() as AddressInfo).port}`
  const renewed: string[] = []
  const open = async (user: string) => {
    let token = await issuer.sign(user, Math.floor(Date.now() / 1000) - 60)
    const dataSource = new DataSource({ type: 'sqljs', entities: [List, Member, Item, Country], synchronize: true })
    modules['withTokens.ts'].withTokens(dataSource, url, async (renew: boolean) => {
      if (renew) renewed.push(user)
      if (renew) token = await issuer.sign(user)
      return token
    })
    return dataSource.initialize()
  }
  const ask = (token: string) => fetch(`${url}/sync`, { headers: { Authorization: `Bearer ${token}` } })
  const [alice, bob] = [await open('alice'), await open('bob')]
  const sync = async (...devices: DataSource[]) => {
    for (const device of devices) await syncAll(device)
  }
  const items = async (device: DataSource) => (await device.getRepository(Item).find({ order: { name: 'ASC' } })).map((i: any) => i.name)
  try {
    const { makeList, shutOut } = modules['shareList.ts']
    const list = await makeList(alice, 'Home', 'alice', ['bob'])
    await alice.getRepository(Item).save([
      { name: 'of the list', list, owner: null },
      { name: 'of alice', list: null, owner: 'alice' },
    ])
    await sync(alice, bob)
    expect(renewed).toEqual(['alice', 'bob'])
    expect(await items(bob)).toEqual(['of the list'])
    expect(await bob.getRepository(Country).count()).toBe(1)
    // a reader may not write
    const [shared] = (await bob.getRepository(Item).find()) as [any]
    await bob.getRepository(Item).update(shared.id, { name: 'Bob was here' })
    await sync(bob)
    expect(await journal(bob.getRepository(Item)).rejected()).toMatchObject([{ id: shared.id, code: 'not-allowed' }])
    await journal(bob.getRepository(Item)).discard(shared.id)
    await shutOut(alice, list, 'bob')
    await sync(alice, bob)
    expect([await items(bob), await bob.getRepository(List).count(), await bob.getRepository(Member).count()]).toEqual([[], 0, 0])
    expect(await items(alice)).toEqual(['of alice', 'of the list'])
    await modules['deleteUser.ts'].deleteUser(lists, 'alice')
    await sync(alice)
    expect(await items(alice)).toEqual([])
    for (const bad of ['', 'nonsense', await issuer.sign('alice', 1)]) expect((await ask(bad)).status).toBe(401)
  } finally {
    listening.close()
    listening.closeAllConnections()
    for (const device of [alice, bob]) await device.destroy()
  }
})

test('a parcel is handed over by who has it, and by nobody else; an invoice is made by clerks', async () => {
  const { Parcel, Account, parcelRule } = modules['parcel.ts']
  const { Invoice, invoiceRule } = modules['invoice.ts']
  const database = withSync(new DataSource({ type: 'sqljs', entities: [Parcel, Account, Invoice], synchronize: true }))
  await database.initialize()
  await database.getRepository(Account).save([{ id: 'alice' }, { id: 'bob' }])
  await database.getRepository(Parcel).save({ id: 'p', owner: 'alice' })
  const principal = (ctx: Koa.Context) => ({ id: ctx.get('user'), tenant: 'acme', isClerk: ctx.get('user') === 'bob' })
  const listening = new Koa().use(server.syncRoutes(database, { principal, rules: [parcelRule, invoiceRule] })).listen(0)
  await once(listening, 'listening')
  const post = async (user: string, path: string, row: object) => {
    const url = `http://localhost:${(listening.address() as AddressInfo).port}${path}`
    return (await fetch(url, { method: 'POST', headers: { user, 'Content-Type': 'application/json' }, body: JSON.stringify([row]) })).status
  }
  const give = (user: string, owner: string) => post(user, '/parcelChanges', { id: 'p', owner, handedOverBy: user })
  try {
    expect(await give('bob', 'bob')).toBe(422)
    expect(await give('alice', 'nobody')).toBe(422)
    expect(await post('alice', '/parcelChanges', { id: 'p', owner: 'bob' })).toBe(422)
    expect(await give('alice', 'bob')).toBe(200)
    expect(await give('alice', 'alice')).toBe(422)
    expect(await give('bob', 'alice')).toBe(200)
    expect(await post('alice', '/invoiceChanges', { id: 'i', tenant: 'acme', number: '1' })).toBe(422)
    expect(await post('bob', '/invoiceChanges', { id: 'i', tenant: 'other', number: '1' })).toBe(422)
    expect(await post('bob', '/invoiceChanges', { id: 'i', tenant: 'acme', number: '1' })).toBe(200)
  } finally {
    listening.close()
    listening.closeAllConnections()
    await database.destroy()
  }
})

test('an entity without decorators syncs', async () => {
  const { NoteSchema, syncNotes } = modules['note.ts']
  const database = withSync(new DataSource({ type: 'sqljs', entities: [NoteSchema], synchronize: true }))
  await database.initialize()
  await database.getRepository(NoteSchema).save({ text: 'Hello' })
  const asked: string[] = []
  const app = new Koa().use((ctx, next) => {
    asked.push(`${ctx.path} ${ctx.query.collections}`)
    return next()
  })
  const listening = app.use(server.syncRoutes(database, { public: true }).routes()).listen(notesPort)
  try {
    await syncNotes()
    expect(asked).toEqual(['/sync /noteChanges'])
  } finally {
    listening.close()
    listening.closeAllConnections()
    await database.destroy()
  }
})

test('the guarded routes answer those who know the word', async () => {
  const listening = modules['guarded.ts'].guarded.listen(0)
  await once(listening, 'listening')
  const url = `http://localhost:${listening.address().port}/api/taskChanges`
  try {
    expect((await fetch(url)).status).toBe(401)
    expect((await fetch(url, { headers: { Authorization: 'Bearer open sesame' } })).status).toBe(200)
  } finally {
    listening.close()
    listening.closeAllConnections()
  }
})

test('the relay has what the server has, and passes on what is pushed to it', async () => {
  const { relay, relayApp } = modules['relay.ts']
  const listening = relayApp.listen(0)
  await once(listening, 'listening')
  try {
    const answer = await fetch(`http://localhost:${listening.address().port}/taskChanges`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '[{"id": "by-relay", "name": "Told to the relay"}]',
    })
    expect(answer.status).toBe(200)
    await syncAll(relay)
    expect(await namesAtServer()).toContain('Told to the relay')
    expect(await relay.getRepository('task').count()).toBe((await namesAtServer()).length)
  } finally {
    listening.close()
    listening.closeAllConnections()
  }
})

const namesAtServer = async () => (await modules['server.ts'].database.getRepository('task').find()).map((t: { name: string }) => t.name)

test('after a restore the clients bring back what the backup lacks', async () => {
  const { dataSource } = modules['client.ts']
  const { database } = modules['server.ts']
  await syncAll(dataSource, client.preferLocalConflictHandler)
  await database.query("DELETE FROM sync_tombstone WHERE id = 'by-relay'")
  await modules['maintenance.ts'].afterRestore()
  await syncAll(dataSource, client.preferLocalConflictHandler)
  expect(await database.getRepository('task').count()).toBe(await dataSource.getRepository('task').count())
})

// ---------------------------------------------------------------- curl

const curls = snippets
  .filter(s => s.language === 'sh')
  .flatMap(s => s.code.split('\n'))
  // those that sign in are for the example server, and are in its spec
  .filter(line => line.startsWith('curl ') && !line.includes('$auth'))

test.each(curls)('%s', async line => {
  const { status, text } = await curl(line.replace('3000', String(port)))
  expect(status).toBe(200)
  expect(JSON.parse(text)).toMatchObject({ now: expect.any(Number) })
})

// ---------------------------------------------------------------- tables and messages

const { text: errors } = pageNamed('docs/options-and-errors.md')

test('docs/options-and-errors.md names every error with its code', () => {
  const classes = Object.values(client).filter(
    (value): value is typeof SyncError => typeof value === 'function' && value.prototype instanceof SyncError,
  )
  expect(classes.length).toBeGreaterThan(10)
  const rows = errors.split('\n').filter(line => line.startsWith('| `'))
  const missing = classes.filter(error => {
    const { code } = Reflect.construct(error, ['', '', { url: '', isDefinite: true }]) as SyncError
    return !rows.some(row => row.includes(`\`${error.name}\``) && row.includes(`\`${code}\``))
  })
  expect(missing.map(error => error.name)).toEqual([])
})

const sources = ['src', 'browser', 'server', 'server-koa'].flatMap(top =>
  readdirSync(join(root, top), { recursive: true })
    .filter(name => String(name).endsWith('.ts'))
    .map(name => readFileSync(join(root, top, String(name)), 'utf8')),
)

// messages of others
const FOREIGN = /^(needed in a foreign key|Reflect\.|Class extends|Cannot access|Column type)/

test('every message of docs/troubleshooting.md is one that the code has', () => {
  const lines = pageNamed('docs/troubleshooting.md').text.split('\n')
  const rows = lines.filter(line => /^\| (?!message \|)/.test(line))
  const messages = rows.flatMap(line => /^\| (`[^`]*`(?:, `[^`]*`)*) \|/.exec(line)?.[1]?.match(/[^`]+(?=`(?:,|$))/g) ?? [])
  expect(messages.length).toBeGreaterThanOrEqual(rows.length)
  expect(messages.length).toBeGreaterThan(20)
  expect(messages.filter(message => !FOREIGN.test(message) && !sources.some(source => source.includes(message)))).toEqual([])
})

test('every option in the tables of the pages is one that the code has, and the other way round', () => {
  const tables = pages.flatMap(({ text }) => text.split(/\n(?=\| option)/).slice(1))
  const named = tables.flatMap(text =>
    text
      .split('\n\n')[0]!
      .split('\n')
      .slice(2)
      .map(row => /`(\w+)`/.exec(row)?.[1]),
  )
  const members = (name: string) => {
    const body = new RegExp(`interface ${name}[^{]*\\{([\\s\\S]*?)\\n\\}`).exec(sources.join('\n'))?.[1] ?? ''
    // what is for tests alone says so, or stands below one that does
    return [...body.matchAll(/(\/\*\* For tests[^\n]*\n)? {2}readonly (\w+)\??:/g)]
      .filter(([, tests]) => !tests)
      .map(([, , member]) => member)
  }
  const has = [
    'TransportOptions',
    'SyncOptions',
    'ServerOptions',
    'SyncHandlerOptions',
    'PullLimits',
    'PushLimits',
    'LiveLimits',
    'BodyLimits',
    'KeepSyncedOptions',
    'BrowserDatabaseOptions',
  ].flatMap(members)
  expect(new Set(named)).toEqual(new Set(has.filter(name => name !== 'public')))
})

// ---------------------------------------------------------------- PROTOCOL.md

const protocol = readFileSync(join(root, 'PROTOCOL.md'), 'utf8')
const inCode = (pattern: RegExp) => new Set(sources.flatMap(source => [...source.matchAll(pattern)].map(([, found]) => found!)))

test('PROTOCOL.md names every status and problem type that the server answers with', () => {
  const statuses = inCode(/new Problem\((\d{3})/g)
  expect(statuses.size).toBeGreaterThan(8)
  expect([...statuses].filter(status => !new RegExp(`^\\| [^|]*\\b${status}\\b`, 'm').test(protocol))).toEqual([])
  const types = inCode(/'(urn:typeorm-sync:[\w-]+)'/g)
  expect([...types].filter(type => !protocol.includes(type))).toEqual([])
})

const rejectionCodes = /type RejectionCode =([^/]*)/.exec(sources.join('\n'))![1]!.match(/(?<=')[\w-]+(?=')/g)!

test('PROTOCOL.md has a table of the codes with which the server rejects a row, and no others', () => {
  const table = protocol.split('\n| code | meaning |\n')[1]!.split('\n\n')[0]!
  expect([...table.matchAll(/^\| `([\w-]+)` \|/gm)].map(([, code]) => code).sort()).toEqual([...rejectionCodes].sort())
})

test('docs/journal.md says what comes after each code with which a row of ours is rejected', () => {
  const table = pageNamed('docs/journal.md').text.split('\n| `reason` or `code` |')[1]!.split('\n\n')[0]!
  const named = [...table.matchAll(/^\| (`[^|]*) \|/gm)].flatMap(([, codes]) => codes!.match(/[\w-]+/g)!)
  // no client of ours posts an id twice
  expect(rejectionCodes.filter(code => code !== 'duplicate-id' && !named.includes(code))).toEqual([])
})

test('PROTOCOL.md has every event of a stream, and why it ends', () => {
  const events = inCode(/#send\('([a-z]+)'/g)
  expect(events.size).toBe(3)
  const reasons = /type EndReason =([^/]*)/.exec(sources.join('\n'))![1]!.match(/(?<=')\w+(?=')/g)!
  expect([...events, ...reasons].filter(word => !protocol.includes(`\`${word}\``))).toEqual([])
})

// ---------------------------------------------------------------- the pages themselves

test('README.md has at most 200 lines', () => {
  expect(pageNamed('README.md').text.trimEnd().split('\n').length).toBeLessThanOrEqual(200)
})

test('every page of docs/ is among those whose snippets run, and README.md leads to it', () => {
  const names = readdirSync(join(root, 'docs'))
    .filter(name => name.endsWith('.md'))
    .map(name => `docs/${name}`)
  const known = pages.map(({ name }) => name)
  expect(names.filter(name => !known.includes(name))).toEqual([])
  const { text } = pageNamed('README.md')
  expect(names.filter(name => !text.includes(`](${name})`))).toEqual([])
})

test('every picture of docs/ is on a page, and has 100 kB at most', () => {
  const pictures = readdirSync(join(root, 'docs')).filter(name => !name.endsWith('.md'))
  expect(pictures).toContain('inspector.png')
  expect(pictures.filter(name => !pages.some(({ text }) => text.includes(`](${name})`)))).toEqual([])
  expect(pictures.filter(name => statSync(join(root, 'docs', name)).size > 100_000)).toEqual([])
})

test.each([...pages, ...['CONTRIBUTING.md', 'CHANGELOG.md', 'bench/README.md'].map(pageNamed)])(
  'every link of $name leads somewhere',
  page => {
    expect(deadLinks(page)).toEqual([])
  },
)

test('every file of ours that a page names is there', () => {
  const texts = [...pages, pageNamed('CONTRIBUTING.md'), pageNamed('bench/README.md')].map(({ text }) => text)
  const named = texts.flatMap(filesNamedIn)
  expect(new Set(named).size).toBeGreaterThan(40)
  expect(named.filter(path => !existsSync(join(root, path)))).toEqual([])
})

test('what docs/example-app.md shows of the example app stands in its files', () => {
  const shown = snippets.filter(({ page, language }) => page === 'docs/example-app.md' && language === 'jsx')
  expect(shown.length).toBeGreaterThan(3)
  const wrong = shown.flatMap(({ code }) => {
    const [, file = ''] = /^\/\/ ([\w.]+)/.exec(code) ?? []
    const source = readFileSync(join(root, 'examples', 'web', 'src', file), 'utf8')
    const lines = code
      .split('\n')
      .slice(1)
      .map(line => line.replace(/ \/\/ .*/, '').trim())
    return lines.filter(line => !source.includes(line)).map(line => `${file}: ${line}`)
  })
  expect(wrong).toEqual([])
})

test('every page that the code cites is there', () => {
  const cited = sources.flatMap(source => [...source.matchAll(/\b[\w./-]+\.md\b/g)].map(([path]) => path))
  expect(cited).toEqual(expect.arrayContaining(['PROTOCOL.md', 'docs/how-it-works.md']))
  expect(cited.filter(path => !existsSync(join(root, path)))).toEqual([])
})

test('docs/how-it-works.md describes every table of the change log', () => {
  const statements = [sqlite, postgres, mysql].flatMap(tables => [...tables.values()])
  const tables = new Set(statements.flatMap(sql => /^CREATE TABLE IF NOT EXISTS (sync_\w+) /.exec(sql)?.[1] ?? []))
  expect(tables.size).toBeGreaterThan(8)
  const { text } = pageNamed('docs/how-it-works.md')
  expect([...tables].filter(table => !text.includes(`\n| \`${table}\``))).toEqual([])
})

test('every law that the code cites is one of docs/how-it-works.md', () => {
  const mutants = readdirSync(join(root, 'spec', 'mutants')).map(name => readFileSync(join(root, 'spec', 'mutants', name), 'utf8'))
  const texts = [...sources, ...mutants].flatMap(source =>
    [...source.matchAll(/\blaws? (\d+(?:(?:, | and )\d+)*)/gi)].map(([, text]) => text!),
  )
  const cited = new Set(texts.flatMap(text => text.match(/\d+/g)!))
  expect(cited.size).toBeGreaterThan(8)
  const { text } = pageNamed('docs/how-it-works.md')
  expect([...cited].filter(law => !text.includes(`\n### Law ${law}: `))).toEqual([])
})

test('a link to nowhere is seen', () => {
  const text =
    '# A page\n\n[this](#a-page), [that](#no-page), [a file](CONTRIBUTING.md#layout), [none](NONE.md), [an anchor](LICENSE#mit), `[code](NONE.md)`'
  expect(deadLinks({ name: 'PAGE.md', text })).toEqual(['#no-page', 'NONE.md', 'LICENSE#mit'])
})
