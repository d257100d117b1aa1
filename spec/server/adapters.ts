// The same server in each framework, real ones, with and without a body parser in front of it. What is ours is below /api, and /api/hello is not.

import 'reflect-metadata'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Readable } from 'node:stream'
import fastifyCors from '@fastify/cors'
import { serve as serveHono } from '@hono/node-server'
import { bodyParser } from '@koa/bodyparser'
import koaCors from '@koa/cors'
import { Controller, Get, type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import express from 'express'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { Hono } from 'hono'
import { cors as honoCors } from 'hono/cors'
import Koa from 'koa'
import type { DataSource } from 'typeorm'
import { type Rule, type SyncHandler, type SyncHandlerOptions, syncHandler } from 'typeorm-sync/server'
import { syncRoutes } from 'typeorm-sync/server-koa'

export interface Options extends Omit<SyncHandlerOptions, 'principal' | 'rules' | 'public' | 'prefix'> {
  readonly rules?: readonly Rule[]
}

export interface Served {
  readonly server: Server
  /** With the prefix. */
  readonly url: string
  /** That the application was told of. */
  readonly errors: unknown[]
}

interface Adapter {
  readonly name: string
  /** Does something read the body before us? */
  readonly isParsed?: true
  start(dataSource: DataSource, options: Options, errors: unknown[]): Promise<Server>
}

/** A user by a header; that is enough here. */
const userOf = (name: unknown) => {
  if (name === 'broken') throw new Error('SELECT secret FROM users')
  return typeof name === 'string' ? { id: name } : undefined
}

function handler(dataSource: DataSource, { rules, ...options }: Options, errors: unknown[], prefix?: string): SyncHandler {
  const all = { ...options, ...(prefix && { prefix }), onError: (error: unknown) => errors.push(error) }
  const principal = ({ headers }: { headers: Readonly<Record<string, unknown>> }) => userOf(headers.user)
  return rules ? syncHandler(dataSource, { ...all, rules, principal }) : syncHandler(dataSource, { ...all, public: true })
}

const listen = async (server: Server) => {
  if (!server.listening) server.listen(0, '127.0.0.1')
  if (!server.listening) await once(server, 'listening')
  return server
}

const allow = (res: { setHeader(name: string, value: string): unknown }) => {
  res.setHeader('Access-Control-Allow-Origin', '*')
  res.setHeader('Vary', 'Origin')
}

const inExpress = (...before: express.RequestHandler[]): Adapter['start'] => {
  return (dataSource, options, errors) => {
    const app = express()
    app.use((_req, res, next) => {
      allow(res)
      next()
    })
    for (const middleware of before) app.use(middleware)
    app.use('/api', handler(dataSource, options, errors).node)
    app.use(express.json())
    app.get('/api/hello', (_req, res) => void res.send('hello'))
    return listen(createServer(app))
  }
}

@Controller('api')
class Hello {
  @Get('hello')
  hello() {
    return 'hello'
  }
}

/** As a middleware of a module it is behind the body parser of Nest. */
const inNest = (isParsed: boolean): Adapter['start'] => {
  return async (dataSource, options, errors) => {
    const sync = handler(dataSource, options, errors)
    @Module({ controllers: [Hello] })
    class App implements NestModule {
      configure(consumer: MiddlewareConsumer) {
        if (isParsed) consumer.apply(sync.node).forRoutes('api')
      }
    }
    const app = await NestFactory.create(App, { logger: false })
    app.enableCors()
    if (!isParsed) app.use('/api', sync.node)
    await app.listen(0, '127.0.0.1')
    return app.getHttpServer()
  }
}

const inFastify = (isParsed: boolean): Adapter['start'] => {
  return async (dataSource, options, errors) => {
    const sync = handler(dataSource, options, errors, '/api')
    const app = Fastify({ bodyLimit: 10_000_000 })
    await app.register(fastifyCors, { origin: '*' })
    app.get('/api/hello', async () => 'hello')
    app.register(async scope => {
      if (!isParsed) {
        scope.removeAllContentTypeParsers()
        scope.addContentTypeParser('*', (_request, _payload, done) => done(null))
      }
      scope.all('/api/*', (request: FastifyRequest, reply: FastifyReply) => {
        reply.hijack()
        for (const [name, value] of Object.entries(reply.getHeaders())) if (value !== undefined) reply.raw.setHeader(name, value)
        return sync.node(isParsed ? Object.assign(request.raw, { body: request.body }) : request.raw, reply.raw)
      })
    })
    await app.listen({ port: 0, host: '127.0.0.1' })
    return app.server
  }
}

const inHono = (isParsed: boolean): Adapter['start'] => {
  return async (dataSource, options, errors) => {
    const sync = handler(dataSource, options, errors, '/api')
    const app = new Hono()
    app.use(honoCors())
    app.get('/api/hello', c => c.text('hello'))
    app.all('/api/*', async c => {
      if (!isParsed || c.req.method !== 'POST') return sync.fetch(c.req.raw)
      return sync.fetch(new Request(c.req.raw, { body: await c.req.text() }))
    })
    const server = serveHono({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }) as Server
    return listen(server)
  }
}

const inKoa = (...before: Koa.Middleware[]): Adapter['start'] => {
  return async (dataSource, { rules, ...options }, errors) => {
    const app = new Koa()
    app.on('error', error => errors.push(error))
    app.use(koaCors())
    for (const middleware of before) app.use(middleware)
    const all = { ...options, prefix: '/api' }
    const principal = (ctx: Koa.Context) => userOf(ctx.get('user') || undefined)
    app.use(rules ? syncRoutes(dataSource, { ...all, rules, principal }) : syncRoutes(dataSource, { ...all, public: true }))
    app.use(ctx => {
      if (ctx.path === '/api/hello') ctx.body = 'hello'
    })
    return listen(createServer(app.callback()))
  }
}

const bare: Adapter['start'] = (dataSource, options, errors) => {
  const sync = handler(dataSource, options, errors, '/api')
  const server = createServer((req, res) => {
    allow(res)
    return sync.node(req, res, () => res.writeHead(req.url === '/api/hello' ? 200 : 404).end('hello'))
  })
  return listen(server)
}

/** What somebody writes for a framework that we do not know, which reads bodies itself. */
const byHand: Adapter['start'] = (dataSource, options, errors) => {
  const sync = handler(dataSource, options, errors, '/api')
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = []
    try {
      for await (const chunk of req) chunks.push(chunk)
    } catch {
      return
    }
    const left = new AbortController()
    res.on('close', () => left.abort())
    const { pathname: path, searchParams } = new URL(req.url as string, 'http://here')
    const answer = await sync.respond({
      ...{ method: req.method as string, path, query: Object.fromEntries(searchParams), headers: req.headers },
      ...{ body: Buffer.concat(chunks), signal: left.signal, raw: req, isServed: () => server.listening },
    })
    allow(res)
    if (!answer) return void res.writeHead(req.url === '/api/hello' ? 200 : 404).end('hello')
    res.writeHead(answer.status, { ...answer.headers })
    if (typeof answer.body !== 'object') return void res.end(answer.body)
    const body: Readable = answer.body
    body.on('error', () => res.destroy()).pipe(res)
    res.on('close', () => body.destroy())
    res.setTimeout(answer.idleTimeout ?? 0, () => res.destroy())
  })
  return listen(server)
}

export const adapters: Adapter[] = [
  { name: 'node:http', start: bare },
  { name: 'respond, by hand', isParsed: true, start: byHand },
  { name: 'Express', start: inExpress() },
  { name: 'Express behind express.json()', isParsed: true, start: inExpress(express.json({ limit: '10mb' })) },
  { name: 'Express behind express.text()', isParsed: true, start: inExpress(express.text({ type: '*/*', limit: '10mb' })) },
  { name: 'Nest', start: inNest(false) },
  { name: 'Nest behind its body parser', isParsed: true, start: inNest(true) },
  { name: 'Fastify', start: inFastify(false) },
  { name: 'Fastify behind its parser', isParsed: true, start: inFastify(true) },
  { name: 'Hono', start: inHono(false) },
  { name: 'Hono that has read the body', isParsed: true, start: inHono(true) },
  { name: 'Koa', start: inKoa() },
  { name: 'Koa behind a body parser', isParsed: true, start: inKoa(bodyParser({ jsonLimit: '10mb' })) },
]

export async function serve({ start }: Adapter, dataSource: DataSource, options: Options = {}): Promise<Served> {
  const errors: unknown[] = []
  const server = await start(dataSource, options, errors)
  return { server, errors, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api` }
}
