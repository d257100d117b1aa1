// A server and clients on SQLite files: two clients with a file each, and two that share one.

import { join } from 'node:path'
import type { DataSource } from 'typeorm'
import type { Random } from '../simulation/random.js'
import { freePort } from '../support/freePort.js'
import { Account } from './account.js'
import { check, syncUntilQuiet } from './check.js'
import { keepFolder, removeFolder, temporaryFolder } from './folder.js'
import { type ClientOrders, type FilePlace, type Habits, open, type ServerOrders } from './open.js'
import { Program } from './program.js'

const HABITS: Habits = { pause: 20, timeout: 5_000, own: 0, families: 0, crowd: null }

export async function fileRound(number: number, milliseconds: number, seed: number, random: Random): Promise<Account & { kills: number }> {
  const folder = temporaryFolder()
  const account = new Account()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const enableWAL = number % 2 === 0
  const placeOf = (name: string): FilePlace => ({ file: join(folder, `${name}.db`), enableWAL })
  const places = { server: placeOf('server'), one: placeOf('one'), two: placeOf('two'), shared: placeOf('shared') }
  const opened: DataSource[] = []
  const programs: Program[] = []
  try {
    // what a migration would do
    for (const [name, each] of Object.entries(places)) await (await open(each, name === 'server' ? {} : { server: url }, true)).destroy()
    const server = new Program('server', './server.js', (): ServerOrders => ({ place: places.server, port }), account, random)
    let starts = 0
    const client = (name: string, place: FilePlace) => {
      const orders = (): ClientOrders => ({
        server: url,
        seed: seed + number * 1_000 + starts++,
        places: [{ name, place }],
        habits: HABITS,
      })
      return new Program(name, './client.js', orders, account, random)
    }
    programs.push(
      server,
      client('one', places.one),
      client('two', places.two),
      client('left', places.shared),
      client('right', places.shared),
    )
    for (const each of programs) each.start()
    for (const each of programs) await each.ready()
    const end = Date.now() + milliseconds
    await Promise.all(programs.map(each => each.live(() => Date.now() > end)))
    for (const each of programs) await each.kill()

    server.start()
    await server.ready()
    const clients = await Promise.all([places.one, places.two, places.shared].map(p => open(p, { server: url, retries: 2 })))
    opened.push(...clients)
    await syncUntilQuiet(clients, account, random)
    await server.kill()
    opened.push(await open(places.server))
    await check(opened, account)
    return Object.assign(account, { kills: programs.reduce((sum, p) => sum + p.kills, 0) })
  } finally {
    for (const each of programs) await each.kill().catch(() => {})
    for (const each of opened) if (each.isInitialized) await each.destroy()
    if (account.problems.length) keepFolder(folder)
    else removeFolder(folder)
  }
}
