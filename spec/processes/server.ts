// A server, until it is killed. Argument: ServerOrders.

import 'reflect-metadata'
import { writeSync } from 'node:fs'
import Koa from 'koa'
import type { DataSource } from 'typeorm'
import { health, syncRoutes } from '../../server-koa/index.js'
import { DatabaseFailedError } from '../../src/errors.js'
import { open, orders, type Said, type ServerOrders } from './open.js'

const say = (said: Said) => writeSync(1, `${JSON.stringify(said)}\n`)
const { place, port } = orders<ServerOrders>()

async function opened(): Promise<DataSource> {
  for (;;) {
    try {
      return await open(place)
    } catch (error) {
      // a connection may be ended while TypeORM asks for the version; its operator would start it again then
      const isOver = !('url' in place) || !/connection|terminat/i.test(String(error))
      if (isOver) throw error
      say({ said: 'failed', code: `start: ${String(error).slice(0, 60)}` })
    }
  }
}

const dataSource = await opened()
const app = new Koa()
app.on('error', error => {
  // its connection to a database was ended; a file has none
  if (error instanceof DatabaseFailedError && 'url' in place) say({ said: 'failed', code: `server: ${error.message.slice(0, 60)}` })
  // a client that was killed while it asked
  else if (!/aborted|ECONNRESET|EPIPE|premature close/i.test(String(error))) say({ said: 'problem', text: `server: ${error.stack}` })
})
app.use(health(dataSource))
app.use(syncRoutes(dataSource, { public: true }).routes())
app.listen(port, '127.0.0.1', () => say({ said: 'ready' }))
