// The package as a user gets it: built, packed, unpacked, imported and required, and compiled against.

import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import * as client from 'typeorm-sync'
import * as server from 'typeorm-sync/server'
import * as koaServer from 'typeorm-sync/server-koa'
import { root, snippets } from './support/readme.js'

const SLOW = 300_000
const run = promisify(execFile)
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
let folder: string
let packed: string[]
let unpackedSize: number

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'typeorm-sync-'))
  // a copy of the project, so that its own dist stays as it is
  const project = join(folder, 'project')
  for (const name of readdirSync(root).filter(name => !/^(node_modules|dist|dist-.*|data|\.git)$/.test(name)))
    cpSync(join(root, name), join(project, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'), 'junction')
  // the scripts run under the jest that runs this, whose environment is not the user's
  const env = { ...process.env, NODE_OPTIONS: '', npm_config_update_notifier: 'false' }
  await run(npm, ['run', 'build'], { cwd: project, env })
  const { stdout } = await run(npm, ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { cwd: project, env })
  const [{ filename, files, unpackedSize: size }] = JSON.parse(stdout)
  unpackedSize = size
  packed = files.map((file: { path: string }) => file.path)
  await run('tar', ['-xzf', filename], { cwd: folder })
  makeProject(
    'full',
    readdirSync(join(root, 'node_modules')).filter(name => !name.startsWith('.')),
  )
  makeProject('client', ['typeorm', 'reflect-metadata', 'sql.js'])
}, SLOW)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A user's project with the unpacked package and some others. */
function makeProject(name: string, dependencies: readonly string[]): void {
  const modules = join(folder, name, 'node_modules')
  mkdirSync(modules, { recursive: true })
  writeFileSync(join(folder, name, 'package.json'), '{"type": "module"}')
  for (const each of dependencies) symlinkSync(join(root, 'node_modules', each), join(modules, each), 'junction')
  cpSync(join(folder, 'package'), join(modules, 'typeorm-sync'), { recursive: true })
}

function write(path: string, text: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true })
  writeFileSync(join(folder, path), text)
}

async function node(path: string, text: string): Promise<unknown> {
  write(path, text)
  const env = { ...process.env, NODE_OPTIONS: '' }
  const { stdout, stderr } = await run(process.execPath, [path.replace(/^\w+\//, '')], { cwd: join(folder, path.split('/')[0]!), env })
  expect(stderr).toBe('')
  return JSON.parse(stdout)
}

test('what is packed is what a user needs', () => {
  expect(packed).toEqual(
    expect.arrayContaining(['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'PROTOCOL.md', 'docs/getting-started.md']),
  )
  const others = packed.filter(
    path =>
      !/^(dist\/(esm|cjs)\/(chunks|src|browser|inspector|server|server-koa)\/|dist\/(esm|cjs)\/package\.json$|docs\/[\w-]+\.md$|[^/]+$)/.test(
        path,
      ),
  )
  expect(others).toEqual([])
  expect(packed.filter(path => /(^|\/)(spec|examples)(\/|\.)/.test(path))).toEqual([])
  // the sources are not packed, so there are no maps, and no file names one
  expect(packed.filter(path => /\.map$|\.ts$/.test(path) && !path.endsWith('.d.ts'))).toEqual([])
  const scripts = packed.filter(path => path.endsWith('.js')).map(path => readFileSync(join(folder, 'package', path), 'utf8'))
  expect(scripts.length).toBeGreaterThan(20)
  expect(scripts.filter(text => text.includes('sourceMappingURL'))).toEqual([])
})

test('the package unpacks to 2.08 MB at most', () => {
  expect(unpackedSize).toBeLessThanOrEqual(2_080_000)
})

test('both forms have the same declarations, with what they say to a reader', () => {
  const declarations = (form: string) => packed.flatMap(path => new RegExp(`^dist/${form}/(.*\\.d\\.ts)$`).exec(path)?.[1] ?? []).sort()
  expect(declarations('cjs')).toEqual(declarations('esm'))
  const text = readFileSync(join(folder, 'package', 'dist/cjs/src/entity/withSync.d.ts'), 'utf8')
  expect(text).toContain('Lets a data source keep account of what changes.')
})

/** Syncs a note between two databases over HTTP, and prints what the package exports. `listener` makes what answers of what is exported. */
const story = `
async function story(client, server, { DataSource, EntitySchema }, { createServer }, listener) {
  const Note = new EntitySchema({
    name: 'note',
    columns: { id: { type: 'varchar', primary: true, generated: 'uuid' }, text: { type: 'text' } },
  })
  client.enableSync(Note, '/noteChanges')
  const open = options =>
    client.withSync(new DataSource({ type: 'sqljs', entities: [Note], synchronize: true }), options).initialize()
  const database = await open()
  const listening = createServer(listener(database)).listen(0, '127.0.0.1')
  await new Promise(resolve => listening.once('listening', resolve))
  const device = await open({ server: 'http://127.0.0.1:' + listening.address().port })
  await device.getRepository(Note).save({ text: 'Hello' })
  const { pushed } = await client.syncAll(device)
  const [{ text }] = await database.getRepository(Note).find()
  listening.close()
  listening.closeAllConnections()
  console.log(JSON.stringify({ pushed, text, client: Object.keys(client).sort(), server: Object.keys(server).sort() }))
}
`
const withKoa = 'database => new Koa().use(server.syncRoutes(database, { public: true }).routes()).callback()'
const withoutKoa = 'database => server.syncHandler(database, { public: true }).node'

// esbuild's and swc's CommonJS marks itself with a name that is no export
const namesOf = (module: object) =>
  Object.keys(module)
    .filter(name => name !== '__esModule')
    .sort()

const imported = (subpath: string, listener: string, more = '') => `
import http from 'node:http'
import * as typeorm from 'typeorm'
import * as client from 'typeorm-sync'
import * as server from 'typeorm-sync/${subpath}'
${more}
${story}
await story(client, server, typeorm, http, ${listener})`

const required = (subpath: string, listener: string, more = '') => `
const server = require('typeorm-sync/${subpath}')
${more}
${story}
story(require('typeorm-sync'), server, require('typeorm'), require('node:http'), ${listener})`

test.each([
  ['imported', koaServer, 'full/esm.mjs', imported('server-koa', withKoa, `import Koa from 'koa'`)],
  ['required', koaServer, 'full/cjs.cjs', required('server-koa', withKoa, `const Koa = require('koa')`)],
  ['imported where there is no Koa', server, 'client/esm.mjs', imported('server', withoutKoa)],
  ['required where there is no Koa', server, 'client/cjs.cjs', required('server', withoutKoa)],
])(
  'the package syncs when it is %s',
  async (_, exported, path, text) => {
    expect(await node(path, text)).toEqual({ pushed: 1, text: 'Hello', client: namesOf(client), server: namesOf(exported) })
  },
  SLOW,
)

test(
  'the adapter of Koa says what it needs',
  async () => {
    await expect(node('client/server.mjs', `import 'typeorm-sync/server-koa'`)).rejects.toThrow(/Cannot find package '@koa\/router'/)
  },
  SLOW,
)

test.each([
  [
    'imported',
    'client/inspector.mjs',
    `import { SyncInspector } from 'typeorm-sync/inspector'; console.log(JSON.stringify(SyncInspector.name))`,
  ],
  ['required', 'client/inspector.cjs', `console.log(JSON.stringify(require('typeorm-sync/inspector').SyncInspector.name))`],
])('the inspector is %s where there is no page', async (_, path, text) => expect(await node(path, text)).toBe('SyncInspector'), SLOW)

const rendered = `
const Tasks = () => String(hooks.useRows(undefined).isLoading)
console.log(JSON.stringify([renderToString(createElement(Tasks)), typeof client.watch]))`

test.each([
  [
    'imported',
    'full/react.mjs',
    `import * as client from 'typeorm-sync'
     import * as hooks from 'typeorm-sync/react'
     import { createElement } from 'react'
     import { renderToString } from 'react-dom/server'
     ${rendered}`,
  ],
  [
    'required',
    'full/react.cjs',
    `const [client, hooks] = [require('typeorm-sync'), require('typeorm-sync/react')]
     const { createElement } = require('react')
     const { renderToString } = require('react-dom/server')
     ${rendered}`,
  ],
])(
  'the hooks are %s where there is React, and are not missed where there is none',
  async (_, path, text) => {
    expect(await node(path, text)).toEqual(['true', 'function'])
    await expect(node('client/react.mjs', `import 'typeorm-sync/react'`)).rejects.toThrow(/Cannot find package 'react'/)
  },
  SLOW,
)

test.each([
  ['imported', 'full/browser.mjs', `import { openBrowserDatabase } from 'typeorm-sync/browser'`],
  ['required', 'full/browser.cjs', `const { openBrowserDatabase } = require('typeorm-sync/browser')`],
])(
  'the database of a browser is %s where there is idb, and not missed where there is none',
  async (_, path, text) => {
    expect(await node(path, `${text}\nconsole.log(JSON.stringify(typeof openBrowserDatabase))`)).toBe('function')
    await expect(node('client/browser.mjs', `import 'typeorm-sync/browser'`)).rejects.toThrow(/Cannot find package 'idb'/)
  },
  SLOW,
)

/** Watches a table with nothing else that would keep the process alive. */
const watching = `
import { DataSource, EntitySchema } from 'typeorm'
import { enableSync, watch, withSync } from 'typeorm-sync'
const Note = new EntitySchema({ name: 'note', columns: { id: { type: 'varchar', primary: true } } })
enableSync(Note, '/notes')
const dataSource = await withSync(new DataSource({ type: 'sqljs', entities: [Note], synchronize: true })).initialize()
const notes = dataSource.getRepository(Note)
const counts = []`

test(
  'a loop over what is watched keeps a process alive, and a subscription does not',
  async () => {
    const loop = `${watching}
    for await (const { rows } of watch(notes)) {
      counts.push(rows.length)
      if (rows.length) break
      setTimeout(() => notes.insert({ id: 'a' }), 300).unref()
    }
    console.log(JSON.stringify(counts))`
    expect(await node('client/loop.mjs', loop)).toEqual([0, 1])
    const subscription = `${watching}
    watch(notes).subscribe(({ rows }) => counts.push(rows.length))
    process.on('exit', () => console.log(JSON.stringify(counts)))`
    expect(await node('client/subscription.mjs', subscription)).toEqual([0])
  },
  SLOW,
)

// ---------------------------------------------------------------- types

const commonJs = `
import { DataSource } from 'typeorm'
import { type Conflict, type SyncReport, syncAll, withSync } from 'typeorm-sync'
import type { IncomingMessage } from 'node:http'
import { type SyncRequest, syncHandler } from 'typeorm-sync/server'
import { syncRoutes } from 'typeorm-sync/server-koa'
import 'typeorm-sync/inspector'

export function inspect(dataSource: DataSource): void {
  const inspector = document.createElement('typeorm-sync-inspector')
  inspector.dataSource = dataSource
  // @ts-expect-error what keepSynced gives
  inspector.kept = dataSource
}

export async function sync(dataSource: DataSource): Promise<SyncReport> {
  const synced: DataSource = withSync(dataSource, { server: 'https://example.org', headers: async () => ({ authorization: 'x' }) })
  syncRoutes(synced, { public: true }).routes()
  // @ts-expect-error a server without rules has to say that it is public
  syncRoutes(synced, {})
  // @ts-expect-error rules are about somebody
  syncRoutes(synced, { rules: [] })
  const principal = ({ raw }: SyncRequest<IncomingMessage & { user: string }>) => ({ id: raw.user })
  const handler = syncHandler(synced, { principal, rules: [] })
  handler.node({} as IncomingMessage & { user: string }, {} as never)
  // @ts-expect-error nobody has said who the user is
  handler.node({} as IncomingMessage, {} as never)
  // @ts-expect-error of another framework
  handler.fetch(new Request('http://example.org'))
  syncHandler(synced, { public: true }).fetch(new Request('http://example.org'))
  // @ts-expect-error a server without rules has to say that it is public
  syncHandler(synced, {})
  return syncAll(synced, (conflicts: Conflict[]) => conflicts.forEach(c => c.takeRemote()))
}
`

const component = `
import { createElement } from 'react'
import type { DataSource, Repository } from 'typeorm'
import { type KeptSynced, type Watch, type WatchSnapshot, watch } from 'typeorm-sync'
import { useConflicts, useRows, useSyncStatus } from 'typeorm-sync/react'

class Task {
  id: string = ''
  done: boolean = false
}

export function Tasks({ tasks, kept, dataSource }: { tasks: Repository<Task>; kept?: KeptSynced; dataSource: DataSource }) {
  const { rows, isLoading, error }: WatchSnapshot<Task> = useRows(tasks, { where: { done: false }, order: { id: 'ASC' } })
  // @ts-expect-error the options are those of the entity
  useRows(tasks, { where: { name: 'milk' } })
  // @ts-expect-error there is no such property
  rows[0]?.name
  // @ts-expect-error the rows are shared by all that show them
  rows.push(new Task())
  const { state, pending } = useSyncStatus(kept)
  const conflicts = useConflicts(tasks)
  const [conflict] = conflicts.rows
  if (conflict) void conflicts.resolve(conflict, { done: conflict.local?.done || conflict.remote?.done || false })
  // @ts-expect-error the winner is of the entity
  if (conflict) void conflicts.resolve(conflict, { name: 'milk' })
  const all = useConflicts(dataSource)
  if (all.rows[0]) void all.discard(all.rows[0])
  return createElement('p', null, isLoading, String(error), state, pending, rows.length)
}

export async function log(tasks: Repository<Task>): Promise<void> {
  const watched: Watch<Task> = watch(tasks, { where: { done: true } }, { signal: AbortSignal.timeout(1000) })
  // @ts-expect-error the options are those of the entity
  watch(tasks, { order: { name: 'ASC' } })
  for await (const { rows } of watched) console.log(rows.map(({ done }) => done))
}
`

const declarations = `
declare module '*?url' {
  const url: string
  export default url
}
`

// what a reader of the pages knows by then
const known: Record<string, string> = {
  ...Object.fromEntries(Object.keys(client).map(name => [name, 'typeorm-sync'])),
  Task: './task.js',
  dataSource: './client.js',
}

function withImports(code: string): string {
  const isOwn = (name: string) => code.includes(`const ${name} `) || new RegExp(`import \\{[^}]*\\b${name}\\b`).test(code)
  const used = Object.keys(known).filter(name => new RegExp(`(?<![.\\w])${name}\\b`).test(code) && !isOwn(name))
  const imports = used.map(name => `import { ${name} } from '${known[name]}'`)
  return [...imports, 'declare function askTheUser(conflict: object): Promise<boolean>', code, 'export {}'].join('\n')
}

test(
  'the snippets of README.md and docs/ and modules of users compile against the types of the package',
  async () => {
    write('full/consumer.cts', commonJs)
    write('full/declarations.d.ts', declarations)
    write('full/component.ts', component)
    for (const { code, line } of snippets.filter(s => s.language === 'tsx')) write(`full/component_${line}.tsx`, withImports(code))
    for (const { page, file, code, line } of snippets.filter(s => s.language === 'ts'))
      write(`full/${file ?? `${page.replaceAll(/\W/g, '_')}_${line}.ts`}`, file ? code : withImports(code))
    const compilerOptions = {
      ...{ target: 'es2022', module: 'nodenext', strict: true, noEmit: true, skipLibCheck: false, types: ['node'] },
      ...{
        experimentalDecorators: true,
        emitDecoratorMetadata: true,
        useDefineForClassFields: false,
        isolatedModules: true,
        jsx: 'react-jsx',
      },
    }
    write('full/tsconfig.json', JSON.stringify({ compilerOptions, include: ['*.ts', '*.tsx', '*.cts'] }))
    const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    const { stdout } = await run(process.execPath, [tsc, '-p', '.'], { cwd: join(folder, 'full') }).catch(error => error)
    expect(stdout).toBe('')
  },
  SLOW,
)

test('TypeScript 5 with moduleResolution node10, as Nest 10 begins with, finds the declarations of each subpath', () => {
  const { exports, typesVersions } = JSON.parse(readFileSync(join(folder, 'package', 'package.json'), 'utf8'))
  const subpaths = Object.entries<{ require?: { types: string } }>(exports).filter(([, { require }]) => require)
  const declared = Object.entries<string[]>(typesVersions['*']).map(([path, [file]]) => [`./${path}`, file])
  expect(declared).toEqual(subpaths.filter(([path]) => path !== '.').map(([path, { require }]) => [path, require?.types]))
})
