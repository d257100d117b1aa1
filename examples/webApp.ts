// The end of `npm start`: the web app of examples/web, and the server that it syncs with, at one address.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { seed } from './seed.js'
import { type Server, startServer } from './server.js'
import { USERS } from './users.js'

const BUILT = 'dist-web'

/** Vite puts the app into files for a browser. Rejects with what it says where it fails. */
export async function buildWebApp(): Promise<void> {
  const vite = join('node_modules', 'vite', 'bin', 'vite.js')
  const child = spawn(process.execPath, [vite, 'build', join('examples', 'web'), '--logLevel', 'error'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const said: string[] = []
  child.stderr.setEncoding('utf8').on('data', text => said.push(text))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`Vite could not build examples/web:\n${said.join('')}`)
}

/** Serves it at port 3000, or at any other where that is taken. */
export async function serveWebApp(port = 3000): Promise<Server> {
  const options = { database: join('data', 'web.sqlite'), users: USERS, web: BUILT }
  const server = await startServer({ ...options, port }).catch(error => {
    if (error.code !== 'EADDRINUSE') throw error
    return startServer({ ...options, port: 0 })
  })
  await seed(server.dataSource, join('examples', 'web', 'lake.webp'))
  return server
}
