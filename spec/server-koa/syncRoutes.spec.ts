import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import { bodyParser } from '@koa/bodyparser'
import cors from '@koa/cors'
import Router from '@koa/router'
import Koa from 'koa'
import compress from 'koa-compress'
import { DataSource } from 'typeorm'
import { syncRoutes } from 'typeorm-sync/server-koa'
import { Project, Task } from '../../examples/model.js'
import { startTodo, type Todo } from './todoServer.js'

let todo: Todo
const stops: (() => Promise<void>)[] = []
async function start(...options: Parameters<typeof startTodo>): Promise<Todo> {
  const started = await startTodo(...options)
  stops.push(started.stop)
  return started
}
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

const milk = { id: 'milk', name: 'Buy milk' }
const bread = { id: 'bread', name: 'Bake bread' }

describe('among other middleware', () => {
  test('every entity has its path, and others pass', async () => {
    todo = await start({
      after: [
        ctx => {
          ctx.body = `hello from ${ctx.path}`
        },
      ],
    })
    expect((await todo.get('/projectChanges')).json.updates).toEqual([])
    for (const path of ['/', '/taskChanges/more', '/TASKCHANGES', '/%', '/%E0%A4%A', '/task%43hanges/..'])
      expect((await todo.get(path)).text).toBe(`hello from ${path}`)
  })

  test('another origin sees our headers, with those that the application exposes', async () => {
    todo = await start({ before: [cors({ exposeHeaders: ['X-Own', 'etag'], credentials: true })] })
    const headers = { Origin: 'https://example.org' }
    for (const answer of [await todo.get('/taskChanges', headers), await todo.get('/taskChanges?since=x', headers)]) {
      expect(answer.headers['access-control-expose-headers']).toBe('X-Own, etag, Retry-After, Idempotency-Replayed, Preference-Applied')
      expect(answer.headers['access-control-allow-origin']).toBe('https://example.org')
      expect(answer.headers.vary).toMatch(/Origin/)
    }
    expect((await todo.get('/taskChanges')).headers['access-control-expose-headers']).toBe('X-Own,etag')
  })

  test('preflights are for the application to answer', async () => {
    todo = await start({ before: [cors()] })
    const preflight = { Origin: 'https://example.org', 'Access-Control-Request-Method': 'POST' }
    const answer = await todo.ask('/taskChanges', { method: 'OPTIONS', headers: preflight })
    expect(answer).toMatchObject({ status: 204, headers: { 'access-control-allow-origin': '*' } })
    expect(await todo.ask('/taskChanges', { method: 'OPTIONS' })).toMatchObject({ status: 204, headers: { allow: 'GET, HEAD, POST' } })
  })

  test('a body parser may have been there before', async () => {
    todo = await start({ before: [bodyParser({ jsonLimit: '20mb' })], maxRows: 2, maxBodyBytes: 1_000 })
    expect((await todo.post('/taskChanges', [milk], { 'Idempotency-Key': 'key' })).status).toBe(200)
    expect((await todo.post('/taskChanges', [milk], { 'Idempotency-Key': 'key' })).headers['idempotency-replayed']).toBe('true')
    expect((await todo.post('/taskChanges', { not: 'an array' })).status).toBe(400)
    expect((await todo.post('/taskChanges', [milk, bread, { id: 'tea' }])).status).toBe(413)
    expect((await todo.post('/taskChanges', [{ id: 'milk', name: 'x'.repeat(2_000) }])).status).toBe(413)
    expect((await todo.post('/taskChanges', 'id=milk', { 'Content-Type': 'application/x-www-form-urlencoded' })).status).toBe(415)
  })

  test('a body parser that leaves the parsed rows alone is good enough', async () => {
    const parser = async (ctx: any, next: () => Promise<void>) => {
      const chunks: Buffer[] = []
      for await (const chunk of ctx.req) chunks.push(chunk)
      ctx.request.body = JSON.parse(Buffer.concat(chunks).toString())
      await next()
    }
    todo = await start({ before: [parser] })
    expect((await todo.post('/taskChanges', [milk])).status).toBe(200)
  })

  test.each<[string, (req: any, body: Buffer) => void]>([
    ['express.json()', (req, body) => Object.assign(req, { body: JSON.parse(body.toString()) })],
    ['express.text()', (req, body) => Object.assign(req, { body: body.toString() })],
    ['express.raw()', (req, body) => Object.assign(req, { body })],
    ['Nest with rawBody', (req, body) => Object.assign(req, { rawBody: body, body: 'parsed' })],
  ])('a body parser of the application around may have been there before: %s', async (_, leave) => {
    const isRead = await start()
    // what Express does: its parser reads, then comes whatever is mounted
    const handler = isRead.app.callback()
    const server = createServer(async (req, res) => {
      const chunks: Buffer[] = []
      for await (const chunk of req) chunks.push(chunk)
      leave(req, Buffer.concat(chunks))
      handler(req, res)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const answer = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/taskChanges`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify([milk]),
    })
    expect(await answer.json()).toMatchObject({ status: 'ok' })
    expect((await isRead.get('/taskChanges')).json.updates).toMatchObject([milk])
    server.close()
    server.closeAllConnections()
  })

  test('a body parser that leaves nothing is named, to the client and to the application', async () => {
    const parser = async (ctx: any, next: () => Promise<void>) => {
      for await (const _ of ctx.req);
      await next()
    }
    todo = await start({ before: [parser] })
    const answer = await todo.post('/taskChanges', [milk])
    expect(answer).toMatchObject({
      status: 500,
      json: { status: 500, detail: expect.stringContaining('mounts the sync routes before that parser') },
    })
    expect(todo.errors).toMatchObject([{ status: 500 }])
  })

  test('a body parser for other bodies leaves ours alone, and may say that there was none', async () => {
    const parser = async (ctx: any, next: () => Promise<void>) => {
      ctx.request.body = {}
      ctx.req.body = {}
      await next()
    }
    todo = await start({ before: [parser] })
    expect((await todo.post('/taskChanges', [milk])).status).toBe(200)
  })

  test('it is a middleware itself, for an application of any type, and has routes as well', async () => {
    todo = await start()
    const routes = syncRoutes(todo.dataSource, { public: true })
    const typed = new Koa<{ user: string }, { token: string }>()
    typed.use(async (ctx, next) => {
      ctx.state.user = ctx.token
      await next()
    })
    for (const app of [
      new Koa().use(routes),
      new Koa().use(routes.routes()),
      typed.use(routes),
      new Koa().use(new Router().use('/taskChanges/..', routes).routes()),
    ])
      expect(app.middleware.length).toBeGreaterThan(0)
    const app = new Koa().use(routes)
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    expect((await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}/taskChanges`)).status).toBe(200)
    server.close()
    server.closeAllConnections()
  })

  test('answers are compressed, and are the same', async () => {
    todo = await start({ before: [compress({ threshold: 0 })] })
    await todo.post('/taskChanges', [milk])
    const answer = await fetch(`http://127.0.0.1:${todo.port}/taskChanges`, { headers: { 'Accept-Encoding': 'gzip' } })
    expect(answer.headers.get('content-encoding')).toBe('gzip')
    expect(((await answer.json()) as any).updates).toMatchObject([milk])
    expect(answer.headers.get('vary')).toMatch(/Accept-Encoding/)
  })

  test('below another router', async () => {
    todo = await start()
    const app = new Koa()
    app.use(new Router().use('/api', syncRoutes(todo.dataSource, { public: true }).routes()).routes())
    app.use(new Router().use('/bare', syncRoutes(todo.dataSource, { public: true })).routes())
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    for (const prefix of ['/api', '/bare'])
      expect((await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}/taskChanges`)).status).toBe(200)
    server.close()
    server.closeAllConnections()
  })

  test('a server that is starting says so, and other routes answer', async () => {
    todo = await start({
      initialize: false,
      after: [
        (ctx, next) => {
          if (ctx.path === '/health') ctx.body = 'well'
          else return next()
        },
      ],
    })
    expect(await todo.get('/taskChanges')).toMatchObject({
      status: 503,
      headers: { 'retry-after': expect.any(String) },
      json: { status: 503 },
    })
    expect((await todo.get('/health')).text).toBe('well')
    await todo.dataSource.initialize()
    expect((await todo.get('/taskChanges')).status).toBe(200)
    await todo.dataSource.destroy()
    expect((await todo.get('/taskChanges')).status).toBe(503)
  })

  test.each([[{}], [undefined], [{ public: false }], [{ public: true, maxRows: 0 }], [{ public: true, maxBodyBytes: Number.NaN }]])(
    'nobody serves everybody by accident, nor without limits: %j',
    options => {
      const dataSource = new DataSource({ type: 'sqljs', entities: [Project, Task] })
      expect(() => syncRoutes(dataSource, options as any)).toThrow(/public|maxRows|maxBodyBytes/)
    },
  )
})
