import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { type Server, startServer } from '../../examples/server.js'

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

test('the example server keeps what it was told, over a restart', async () => {
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
