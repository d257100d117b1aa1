// The listener of Node, where something else than the usual happens.

import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect, createServer as createHttp2Server } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import express from 'express'
import Koa from 'koa'
import { type DataSource, EntitySchema } from 'typeorm'
import { enableSync } from 'typeorm-sync'
import { healthHandler, rule, type SyncRequest, syncHandler } from 'typeorm-sync/server'
import { syncRoutes } from 'typeorm-sync/server-koa'
import { changeLogOf } from '../../src/entity/registry.js'
import { openOn } from '../support/eachDatabase.js'
import { listen } from '../support/events.js'
import { sleep, until } from '../support/until.js'

interface Note {
  id: string
  owner: string
}
const Note = new EntitySchema<Note>({
  ...{ name: 'NodeNote', tableName: 'node_note' },
  columns: { id: { type: 'varchar', primary: true }, owner: { type: 'varchar' } },
})
enableSync(Note, '/nodeNotes', { scopes: ['owner'] })

let there: DataSource
const errors: unknown[] = []
const onError = (error: unknown) => errors.push(error)
const closing: Server[] = []
beforeEach(async () => {
  there = await openOn('libsql', [Note])
})
afterEach(() => {
  jest.restoreAllMocks()
  errors.length = 0
  for (const server of closing.splice(0)) {
    server.close()
    server.closeAllConnections()
  }
})

async function start(listener: (req: IncomingMessage, res: ServerResponse) => unknown): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  closing.push(server)
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('what is not ours goes to the next, or is 404, and no path is resolved', async () => {
  const { node } = syncHandler(there, { public: true, prefix: '/api/' })
  const alone = await start(node)
  const among = await start((req, res) => node(req, res, () => res.end(req.url)))
  for (const path of [
    '/',
    '/api',
    '/apinodeNotes',
    '/nodeNotes',
    '/api/nodeNotes/more',
    '/api/NODENOTES',
    '/api/%',
    '/api/%E0%A4%A',
    '/api/node%254eotes',
  ]) {
    expect(await (await fetch(among + path)).text()).toBe(path)
    const answer = await fetch(alone + path)
    expect([answer.status, answer.headers.get('content-type')]).toEqual([404, 'application/problem+json'])
  }
  for (const path of ['/api/nodeNotes', '/api/node%4eotes?since=0', '/api/sync?']) expect((await fetch(among + path)).status).toBe(200)
})

test('while the data source starts, what may be ours is 503, and what cannot be is not ours', async () => {
  await there.destroy()
  const sync = syncHandler(there, { public: true })
  const health = healthHandler(there)
  const url = await start((req, res) => sync.node(req, res, () => health.node(req, res, () => res.end('hello'))))
  const statuses = await Promise.all(['/sync', '/nodeNotes', '/health', '/hello'].map(async path => (await fetch(url + path)).status))
  expect(statuses).toEqual([503, 503, 503, 200])
})

test('`principal` sees what the framework has found out', async () => {
  const rules = [rule<Note>(Note, { read: p => ({ owner: p.id }) })]
  const { node } = syncHandler(there, {
    principal: ({ raw }: SyncRequest<express.Request & { user?: string }>) => ({ id: raw.user ?? '?' }),
    rules,
  })
  const app = express()
  app.use((req, _res, next) => {
    Object.assign(req, { user: 'alice' })
    next()
  })
  app.use('/deep/down', node)
  await there.getRepository(Note).insert([
    { id: 'a', owner: 'alice' },
    { id: 'b', owner: 'bob' },
  ])
  const url = await start(app)
  expect(await (await fetch(`${url}/deep/down/nodeNotes`)).json()).toMatchObject({ updates: [{ id: 'a' }] })
})

test.each<[string, (res: ServerResponse) => void, object]>([
  ['a header that is none', () => {}, { 'X-Bad': 'line\nbreak' }],
  ['an answer that has begun', res => res.writeHead(200).write('begun'), {}],
])('%s breaks this connection off, and nothing else', async (_, before, headers) => {
  const principal = () => {
    throw Object.assign(new Error('no'), { status: 401, headers })
  }
  const { node } = syncHandler(there, { principal, rules: [], onError })
  const url = await start((req, res) => {
    before(res)
    return node(req, res)
  })
  await expect(fetch(`${url}/nodeNotes`).then(answer => answer.text())).rejects.toThrow()
  await expect(fetch(`${url}/sync`).then(answer => answer.text())).rejects.toThrow()
  expect(errors).toHaveLength(2)
})

test('a parser that leaves nothing of a body is an error that says what to do', async () => {
  const { node } = syncHandler(there, { public: true, onError })
  const url = await start(async (req, res) => {
    for await (const _ of req);
    return node(req, res)
  })
  const answer = await fetch(`${url}/nodeNotes`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '[]' })
  expect([answer.status, await answer.text()]).toEqual([500, expect.stringContaining('before that parser')])
  expect(errors).toMatchObject([{ status: 500 }])
})

test('HTTP/2: a stream of events tells, breaks off and gets no header of connections', async () => {
  const warnings: unknown[] = []
  const warn = (warning: unknown) => warnings.push(warning)
  process.on('warning', warn)
  const { node } = syncHandler(there, { public: true })
  const server = createHttp2Server(node).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const stream = session.request({ ':path': '/sync?since=0', accept: 'text/event-stream' })
  let text = ''
  stream.on('data', chunk => {
    text += chunk
  })
  await until(() => text.includes('event: hello'))
  const pushed = session.request({ ':path': '/nodeNotes', ':method': 'POST', 'content-type': 'application/json' })
  pushed.end('[{"id":"a","owner":"alice"}]')
  expect((await once(pushed, 'response'))[0][':status']).toBe(200)
  await until(() => text.includes('"/nodeNotes":'))
  server.close()
  await once(stream, 'close')
  expect(text).toContain('event: bye\ndata: {"reason":"stopping"}')
  session.destroy()
  await sleep(10)
  process.off('warning', warn)
  expect(warnings).toEqual([])
})

test.each(['node:http', 'Koa'])('a client that leaves before its stream begins makes room for others (%s)', async how => {
  const options = { public: true, maxListeners: 1 } as const
  const { node } = syncHandler(there, options)
  const url = await start(how === 'Koa' ? new Koa().use(syncRoutes(there, options)).callback() : node)
  const { database } = changeLogOf(there)
  const transaction = database.transaction.bind(database)
  let goOn: (() => void) | undefined
  jest.spyOn(database, 'transaction').mockImplementationOnce((async (body: any, more: any) => {
    await new Promise<void>(resolve => (goOn = resolve))
    return transaction(body, more)
  }) as any)
  const controller = new AbortController()
  const leaving = fetch(`${url}/sync`, { headers: { accept: 'text/event-stream' }, signal: controller.signal }).catch(() => {})
  await until(() => goOn)
  controller.abort()
  await leaving
  await sleep(50)
  goOn?.()
  await until(async () => {
    const ear = await listen(`${url}/sync`)
    ear.close()
    return ear.response.status === 200
  })
})
