// A server, until it is killed. Arguments: file, enableWAL, port.

import 'reflect-metadata'
import { writeSync } from 'node:fs'
import Koa from 'koa'
import { syncRoutes } from '../../server-koa/index.js'
import { open, type Said } from './open.js'

const say = (said: Said) => writeSync(1, `${JSON.stringify(said)}\n`)
const [file = '', enableWAL, port] = process.argv.slice(2)

const dataSource = await open({ file, enableWAL: enableWAL === 'true' })
const app = new Koa()
app.on('error', error => {
  // a client that was killed while it asked
  if (!/aborted|ECONNRESET|EPIPE|premature close/i.test(String(error))) say({ said: 'problem', text: `server: ${error.stack}` })
})
app.use(syncRoutes(dataSource, { public: true }).routes())
app.listen(Number(port), '127.0.0.1', () => say({ said: 'ready' }))
