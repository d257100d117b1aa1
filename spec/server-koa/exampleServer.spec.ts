import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { type Server, startServer } from '../../examples/server.js'
import { USERS } from '../../examples/users.js'
import { commandsIn, curl } from '../support/curl.js'
import { SERVERS } from '../support/eachDatabase.js'
import * as mysql from '../support/mysqlDatabase.js'
import * as postgres from '../support/postgresDatabase.js'
import { snippets } from '../support/readme.js'

let folder: string
let server: Server
const start = () => startServer({ port: 0, database: join(folder, 'data', 'server.sqlite') })
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'typeorm-sync-'))
  server = await start()
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const post = (rows: object[]) =>
  fetch(`${server.url}/taskChanges`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Origin: 'https://example.org' },
    body: JSON.stringify(rows),
  })

test('the example server keeps what was pushed, over a restart', async () => {
  const stored = await post([{ id: 'milk', name: 'Buy milk' }])
  expect(stored.status).toBe(200)
  expect(stored.headers.get('access-control-allow-origin')).toBe('*')
  expect(stored.headers.get('x-content-type-options')).toBe('nosniff')
  await server.stop()
  server = await start()
  const answer = await fetch(`${server.url}/taskChanges?since=0`)
  expect(await answer.json()).toMatchObject({ updates: [{ id: 'milk', name: 'Buy milk', done: false, dueDate: null, project: null }] })
  await server.stop()
})

test('the example server says what it does not know, and compresses what is long', async () => {
  const nothing = await fetch(`${server.url}/nonsense`)
  expect(nothing.status).toBe(404)
  expect(nothing.headers.get('content-type')).toMatch(/^application\/problem\+json\b/)
  await post(Array.from({ length: 100 }, (_, i) => ({ id: `t${i}`, name: 'Buy milk' })))
  const answer = await fetch(`${server.url}/taskChanges`, { headers: { 'Accept-Encoding': 'gzip' } })
  expect(answer.headers.get('content-encoding')).toBe('gzip')
  await server.stop()
})

test('the example server lets a running request end before it stops', async () => {
  const body = JSON.stringify([{ id: 'milk', name: 'Buy milk' }])
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  socket.write(`POST /taskChanges HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`)
  // the headers are read when another request has been answered
  await fetch(`${server.url}/taskChanges`)
  const stopped = server.stop()
  await expect(fetch(`${server.url}/taskChanges`)).rejects.toThrow()
  socket.end(body)
  let answer = ''
  for await (const chunk of socket) answer += chunk
  expect(answer).toMatch(/^HTTP\/1.1 200 /)
  await stopped
})

// what PROTOCOL.md shows, whatever the database
const PROTOCOL = readFileSync(join(__dirname, '../../PROTOCOL.md'), 'utf8')
const shown = (request: string): any[] => JSON.parse(new RegExp(`^${request}[^[]*(\\[[^]*?\\])\\n\\n200 OK`, 'm').exec(PROTOCOL)?.[1] ?? '')

test.each(SERVERS.filter(kind => kind !== 'libsql'))('what PROTOCOL.md shows works as it is (%s)', async kind => {
  await server.stop()
  const place = kind === 'postgres' ? await postgres.newDatabase('example') : await mysql.newDatabase('example')
  const name = typeof place === 'string' ? place : place.name
  const { url } = (typeof place === 'string' ? postgres.optionsOn(name, {}) : mysql.optionsOn(name)) as { url: string }
  try {
    server = await startServer({ port: 0, database: url })
    await expectShown()
    await server.stop()
    // and over a restart, with the schema as it is
    server = await startServer({ port: 0, database: url })
    expect(await (await fetch(`${server.url}/taskChanges`)).json()).toMatchObject({ updates: expect.arrayContaining([expect.anything()]) })
  } finally {
    await server.stop()
    if (typeof place === 'string') await postgres.dropDatabases(name)
    else await place.drop()
  }
})

test('what PROTOCOL.md shows works as it is (libsql)', async () => {
  await expectShown()
  await server.stop()
})

async function expectShown(): Promise<void> {
  const rows = shown('POST /taskChanges')
  expect(rows).toHaveLength(3)
  // those that are there already, of which one is about to go
  const before = rows.filter(row => row._partial || row._removed).map(({ id }) => ({ id, name: 'Main project' }))
  expect((await post(before)).status).toBe(200)
  const { now } = (await (await fetch(`${server.url}/taskChanges`)).json()) as { now: number }
  const answer = await post(rows)
  expect(await answer.json()).toMatchObject({ status: 'ok' })
  const { updates } = (await (await fetch(`${server.url}/taskChanges?since=${now}`)).json()) as { updates: { id: string }[] }
  expect(new Map(updates.map(update => [update.id, update]))).toEqual(
    new Map(rows.map(({ _partial, ...row }) => [row.id, expect.objectContaining(row)])),
  )
}

// ---------------------------------------------------------------- with users

async function startWithUsers() {
  await server.stop()
  server = await startServer({ port: 0, database: join(folder, 'data', 'users.sqlite'), users: USERS })
  const signIn = (name: string, password: string) =>
    fetch(`${server.url}/signIn`, { method: 'POST', body: JSON.stringify({ name, password }) })
  const tokens = new Map<string, string>()
  for (const { name, password } of USERS) tokens.set(name, await (await signIn(name, password)).text())
  const ask = async (user: string, changes?: Record<string, object[]>) => {
    const post = changes && { method: 'POST', body: JSON.stringify({ changes }) }
    const headers = { Authorization: `Bearer ${tokens.get(user)}`, 'Content-Type': 'application/json' }
    const response = await fetch(`${server.url}/sync`, { headers, ...post })
    return { status: response.status, json: (await response.json()) as any }
  }
  const idsOf = async (user: string, path: string) => ((await ask(user)).json.changes[path] ?? []).map(({ id }: { id: string }) => id)
  return { signIn, ask, idsOf }
}

const HOME = {
  '/projectChanges': [{ id: 'home', name: 'Home' }],
  '/memberChanges': [
    { id: 'home/alice', project: 'home', user: 'alice', role: 'owner' },
    { id: 'home/bob', project: 'home', user: 'bob', role: 'reader' },
  ],
  '/taskChanges': [{ id: 'milk', name: 'Buy milk', project: 'home' }],
}

test('users of the example server sign in by their passwords, and by nothing else', async () => {
  const { signIn, ask } = await startWithUsers()
  expect((await signIn('alice', 'banana')).status).toBe(401)
  expect((await signIn('mallory', '')).status).toBe(401)
  for (const body of ['', 'null', '[]', '{"name":', `{"name": "${'x'.repeat(5_000)}"}`])
    expect((await fetch(`${server.url}/signIn`, { method: 'POST', body })).status).toBe(401)
  expect((await fetch(`${server.url}/signIn`)).status).toBe(404)
  expect((await ask('alice')).status).toBe(200)
  expect((await ask('mallory')).status).toBe(401)
  expect((await post([{ id: 'milk', name: 'Buy milk' }])).status).toBe(401)
  await server.stop()
})

test('users of the example server see the lists that they are let into, and do what their role allows', async () => {
  const { ask, idsOf } = await startWithUsers()
  expect((await ask('alice', HOME)).status).toBe(200)
  expect(await idsOf('alice', '/taskChanges')).toEqual(['milk'])
  expect(await idsOf('bob', '/taskChanges')).toEqual(['milk'])
  expect(await idsOf('carol', '/taskChanges')).toEqual([])
  expect(await idsOf('carol', '/holidayChanges')).toHaveLength(3)
  const codes = async (user: string, changes: Record<string, object[]>) => (await ask(user, changes)).json.errors?.map((e: any) => e.code)
  expect(await codes('bob', { '/taskChanges': [{ id: 'milk', name: 'x' }] })).toEqual(['not-allowed'])
  expect(await codes('bob', { '/memberChanges': [{ id: 'home/bob', _partial: true, role: 'owner' }] })).toEqual(['not-allowed'])
  expect(await codes('alice', { '/holidayChanges': [{ id: '2027-02-30', name: 'x' }] })).toEqual(['not-allowed'])
  expect(await codes('carol', { '/memberChanges': [{ id: 'home/carol', project: 'home', user: 'carol', role: 'owner' }] })).toBeDefined()
  expect(await codes('alice', { '/memberChanges': [{ id: 'home/bob', _partial: true, role: 'writer' }] })).toBeUndefined()
  expect(await codes('bob', { '/taskChanges': [{ id: 'milk', name: 'Buy oat milk', project: 'home' }] })).toBeUndefined()
  // everybody may leave, and an owner ends the list for all
  expect(await codes('bob', { '/memberChanges': [{ id: 'home/bob', _removed: true }] })).toBeUndefined()
  expect(await idsOf('bob', '/taskChanges')).toEqual([])
  expect(await codes('alice', { '/projectChanges': [{ id: 'home', _removed: true }] })).toBeUndefined()
  expect(await idsOf('alice', '/taskChanges')).toEqual([])
  await server.stop()
})

test('what docs/server.md asks the example server works', async () => {
  await startWithUsers()
  const script = snippets.find(({ page, code }) => page === 'docs/server.md' && code.includes('$auth'))!.code
  const variables: Record<string, string> = {}
  const answers: string[] = []
  for (const { variable, command, value } of commandsIn(script.replaceAll('http://localhost:3000', server.url))) {
    if (command === undefined) variables[variable!] = value!.replace('$token', variables.token!)
    else {
      const { status, text } = await curl(command, variables)
      expect(status).toBe(200)
      if (variable) variables[variable] = text
      else answers.push(text)
    }
  }
  expect(answers).toHaveLength(2)
  expect(JSON.parse(answers[1]!).changes['/taskChanges']).toMatchObject([{ id: 'milk', name: 'Buy milk', project: 'home' }])
  await server.stop()
})
