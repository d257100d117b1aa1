import 'reflect-metadata'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from '@jest/globals'
import Koa from 'koa'
import libsql from 'libsql'
import { DataSource, type DataSourceOptions, type EntityManager, EntitySchema } from 'typeorm'
import { enableSync, preferLocalConflictHandler, syncAll, withSync } from 'typeorm-sync'
import { syncRoutes } from 'typeorm-sync/server-koa'
import { Random } from '../simulation/random.js'
import { applyDecided, device, expectAtRest, expectEqual, rowsOf, serverDatabase, startServer, Wire } from './devices.js'

interface Note {
  id: string
  text: string
}
const Note = new EntitySchema<Note>({
  ...{ name: 'Note', tableName: 'note' },
  columns: { id: { type: 'varchar', primary: true }, text: { type: 'varchar' } },
})
enableSync(Note, '/noteChanges')

const folder = mkdtempSync(join(tmpdir(), 'sync-writes-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let files = 0

/** The ways in which an application keeps its database. `saved` is what a sql.js database was last saved as. */
const KINDS = {
  'sql.js': () => ({ type: 'sqljs' }),
  'sql.js that saves itself': () => ({ type: 'sqljs', autoSave: true, autoSaveCallback: () => {} }),
  libsql: () => ({ type: 'better-sqlite3', driver: libsql, database: join(folder, `${++files}.db`) }),
  'libsql with a write-ahead log': () => ({
    type: 'better-sqlite3',
    driver: libsql,
    database: join(folder, `${++files}.db`),
    enableWAL: true,
  }),
} as const

const open: { destroy(): Promise<void> }[] = []
afterEach(async () => {
  for (const each of open.splice(0)) await each.destroy()
})

const pause = (milliseconds: number) => new Promise(resolve => (milliseconds ? setTimeout(resolve, milliseconds) : setImmediate(resolve)))

/** An application that writes as it likes, one thing after the other, for TypeORM has one connection here. It keeps account of what was committed. */
class Application {
  readonly committed = new Map<string, string>()
  readonly rejected: string[] = []
  readonly #random: Random
  #writes = 0

  constructor(
    readonly dataSource: DataSource,
    readonly name: string,
    seed: number,
  ) {
    this.#random = new Random(seed)
  }

  /** So many times at least, and on until it is enough. */
  async write(times: number, isEnough = () => true): Promise<void> {
    const { chance, next } = this.#random
    const notes = this.dataSource.getRepository(Note)
    for (let i = 0; i < times || !isEnough(); i++) {
      await pause(Math.floor(next() * 4))
      const number = ++this.#writes
      if (chance(0.3)) {
        const changes = this.#change(new Map(this.committed), `saved ${number}`)
        for (const [id, text] of changes) await (text === null ? notes.delete({ id }) : notes.save({ id, text }))
        this.#keep(changes)
      } else await this.#transaction(number, number % 2 === 0)
    }
  }

  async #transaction(number: number, isRolledBack: boolean): Promise<void> {
    const changes = new Map<string, string | null>()
    const rejection = new Error('no')
    const work = async (manager: EntityManager) => {
      const rows = new Map(this.committed)
      for (let i = 0; i < 3; i++) {
        for (const [id, text] of this.#change(rows, `${isRolledBack ? 'rolled back' : 'committed'} ${number}.${i}`)) {
          if (text === null) await manager.delete(Note, { id })
          else await manager.save(Note, { id, text })
          if (text === null) rows.delete(id)
          else rows.set(id, text)
          changes.set(id, text)
        }
        await pause(Math.floor(this.#random.next() * 3))
      }
      if (isRolledBack) throw rejection
    }
    const outcome = await this.dataSource.transaction(work).then(
      () => undefined,
      error => error,
    )
    if (!isRolledBack && outcome) throw outcome
    expect(outcome).toBe(isRolledBack ? rejection : undefined)
    if (isRolledBack) this.rejected.push(String(number))
    else this.#keep(changes)
  }

  /** A row that is made, changed or removed. */
  #change(rows: ReadonlyMap<string, string>, text: string): Map<string, string | null> {
    const { chance, pick } = this.#random
    const full = `${this.name} ${text}`
    if (rows.size < 3 || chance(0.4)) return new Map([[`${this.name}-${text.replace(/\W/g, '-')}`, full]])
    return new Map([[pick([...rows.keys()]), chance(0.3) ? null : full]])
  }

  #keep(changes: ReadonlyMap<string, string | null>): void {
    for (const [id, text] of changes) {
      if (text === null) this.committed.delete(id)
      else this.committed.set(id, text)
    }
  }

  /** Everything that was committed is there, and nothing else of its own. */
  expectIn(rows: readonly Record<string, unknown>[]): void {
    const own = rows.filter(r => String(r.id).startsWith(`${this.name}-`)).map(r => [r.id, r.text])
    expect(own).toEqual([...this.committed].sort(([x], [y]) => (x < y ? -1 : 1)))
  }
}

/** Nothing that was rolled back was ever stored, not even as a removal, nor pushed. */
async function expectNeverTold(server: DataSource, wires: readonly Wire[], answers: readonly string[]): Promise<void> {
  const tables = await server.query("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
  for (const { name } of tables) expect(JSON.stringify(await server.query(`SELECT * FROM "${name}"`))).not.toMatch(/rolled.back/)
  expect(wires.flatMap(w => w.requests).filter(r => /rolled.back/.test(r.body ?? ''))).toEqual([])
  expect(answers.filter(a => /rolled.back/.test(a))).toEqual([])
}

describe.each(Object.keys(KINDS) as (keyof typeof KINDS)[])('%s', kind => {
  test('the application saves and rolls back while it syncs: what was committed is pushed, what was rolled back never is', async () => {
    const server = await startServer([Note])
    const wire = new Wire()
    // an answer comes late, so that the application writes in between
    wire.after = () => pause(2)
    const options = { ...KINDS[kind](), entities: [Note], synchronize: true } as DataSourceOptions
    const dataSource = await withSync(new DataSource(options), { server: server.url, retries: 0, fetch: wire.fetch }).initialize()
    open.push(dataSource, { destroy: () => server.stop() })

    const application = new Application(dataSource, 'app', 1)
    let isWriting = true
    const pushed: number[] = []
    const writing = application
      .write(100, () => pushed.length >= 20)
      .finally(() => {
        isWriting = false
      })
    for (let i = 0; i < 20 || isWriting; i++) {
      pushed.push((await syncAll(dataSource)).pushed)
      await pause(5)
      // rows of other devices come in as well
      await server.dataSource.getRepository(Note).save({ id: `host-${i}`, text: `host ${i}` })
    }
    await writing
    await applyDecided([dataSource])

    expect(pushed.filter(n => n > 0).length).toBeGreaterThan(5)
    expect(application.rejected.length).toBeGreaterThan(25)
    application.expectIn(await rowsOf(dataSource, 'note'))
    await expectEqual([server.dataSource, dataSource], ['note'])
    await expectNeverTold(server.dataSource, [wire], [])
    const bodies = wire.requests.map(r => r.body ?? '').join('\n')
    for (const text of application.committed.values()) expect(bodies).toContain(text)
    await expectAtRest([dataSource])
  })
})

const SERVERS = {
  'in memory': () => startServer([Note]),
  'in a file': () => startFileServer(),
}

async function startFileServer() {
  const dataSource = await serverDatabase([Note], {}, join(folder, `${++files}.db`))
  const app = new Koa()
  app.silent = true
  const server = app.use(syncRoutes(dataSource, { public: true }).routes()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    dataSource,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async stop() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
      await dataSource.destroy()
    },
  }
}

describe.each(Object.keys(SERVERS) as (keyof typeof SERVERS)[])('a server %s', kind => {
  test('the host saves and rolls back while it answers: clients get what was committed, and all of it', async () => {
    const server = await SERVERS[kind]()
    const wires = [new Wire(), new Wire()]
    const answers: string[] = []
    for (const wire of wires)
      wire.after = async (_request, _number, response) => {
        answers.push(await response.clone().text())
      }
    const devices = await Promise.all(wires.map(({ fetch }) => device([Note], server.url, { fetch, pageSize: 20, batchSize: 5 })))
    open.push(...devices, { destroy: () => server.stop() })

    const host = new Application(server.dataSource, 'host', 2)
    const applications = devices.map((each, i) => new Application(each, `device${i}`, 3 + i))
    let isWriting = true
    const writing = Promise.all([host.write(100), ...applications.map(a => a.write(40))]).finally(() => {
      isWriting = false
      requests = wires[0]!.requests.length + wires[1]!.requests.length
    })
    let requests = 0
    await Promise.all(
      devices.map(async each => {
        for (let i = 0; i < 10 || isWriting; i++) {
          await syncAll(each, preferLocalConflictHandler)
          await pause(3)
        }
      }),
    )
    await writing
    await applyDecided(devices, preferLocalConflictHandler)

    expect(requests).toBeGreaterThan(20) // while the host wrote
    for (const application of [host, ...applications]) application.expectIn(await rowsOf(server.dataSource, 'note'))
    await expectEqual([server.dataSource, ...devices], ['note'])
    await expectNeverTold(server.dataSource, wires, answers)
    await expectAtRest(devices)
  })
})
