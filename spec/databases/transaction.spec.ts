import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import libsql from 'libsql'
import { Column, type DataSource, type DataSourceOptions, Entity, PrimaryColumn } from 'typeorm'
import { pruneBases } from '../../src/changes/servers/baseVersions.js'
import { readStates } from '../../src/changes/servers/rowStates.js'
import { serversOf } from '../../src/changes/servers/servers.js'
import { type Database, query, savepoint, type Transaction } from '../../src/databases/database.js'
import { enableSync } from '../../src/entity/enableSync.js'
import { changeLogOf } from '../../src/entity/registry.js'
import { type HookedOptions } from '../../src/entity/withSync.js'
import { ConstraintError, DatabaseBusyError, DatabaseFailedError } from '../../src/errors.js'
import { dataSourceOn, type Kind, kinds, newFile } from '../entity/openDataSource.js'

@Entity('note')
class Note {
  @PrimaryColumn() id!: string
  @Column({ unique: true }) text!: string
}
enableSync(Note, '/notes')

const pause = (milliseconds: number) => new Promise(resolve => setTimeout(resolve, milliseconds))

async function open(kind: Kind, file: string, sync?: HookedOptions, options: Partial<DataSourceOptions> = {}): Promise<DataSource> {
  const dataSource = dataSourceOn(kind, file, { entities: [Note], synchronize: true, ...options }, sync)
  return dataSource.initialize()
}

const databaseOf = (dataSource: DataSource): Database => changeLogOf(dataSource).database
const idsOf = async (dataSource: DataSource) => (await dataSource.query('SELECT id FROM note ORDER BY id')).map((row: any) => row.id)
const clockOf = async (dataSource: DataSource) => (await dataSource.query('SELECT now, bypass FROM sync_clock'))[0]

function* insert(id: string, stamp = 1): Transaction<void> {
  yield* query('INSERT INTO note (id, text, "_lastChange") VALUES (?, ?, ?)', id, id, stamp)
}

test('statements have no numbered parameters, which better-sqlite3 reads as names', async () => {
  function Strict(...parameters: [string]) {
    const database = new libsql(...parameters)
    const prepare = database.prepare.bind(database)
    database.prepare = ((sql: string) => {
      if (/\?\d/.test(sql)) throw new RangeError(`Too many parameter values were provided: ${sql}`)
      return prepare(sql)
    }) as never
    return database
  }
  const dataSource = await open('libsql', ':memory:', { server: 'http://127.0.0.1:1' }, { driver: Strict } as never)
  const { database, collections } = changeLogOf(dataSource)
  const [server] = await database.transaction(() => serversOf(collections[0]!), { mode: 'read' })
  await dataSource.getRepository(Note).insert({ id: 'a', text: 'a' })
  await database.transaction(() => pruneBases(database, collections[0]!, server!))
  const states = await database.transaction(() => readStates(database, collections[0]!, server!, ['a'], new Map()), { mode: 'read' })
  expect(states.get('a')?.baseVersions).toEqual([{ value: null, stamp: 0 }])
  await dataSource.destroy()
})

describe.each(kinds)('a transaction on %s', kind => {
  let dataSource: DataSource
  beforeEach(async () => {
    dataSource = await open(kind, newFile())
  })
  afterEach(() => dataSource.destroy())

  test('gives the result of its body, and its stamps are its own', async () => {
    const database = databaseOf(dataSource)
    const stamp = await database.transaction(function* () {
      const stamp = yield* database.tick()
      yield* insert('a', stamp)
      return stamp
    })
    expect(await dataSource.query('SELECT "_lastChange" AS stamp FROM note')).toEqual([{ stamp }])
    expect(await clockOf(dataSource)).toEqual({ now: stamp, bypass: null })
  })

  test('stores many rows without the triggers, which are back when it ends, however it ends', async () => {
    const database = databaseOf(dataSource)
    const triggers = () => dataSource.query("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name")
    const before = await triggers()
    const rows = Array.from({ length: 1_000 }, (_, i) => [`many ${i}`, `many ${i}`, 1])
    const store = (some: readonly unknown[][]) => database.insertRows('note', ['id', 'text', '_lastChange'], some)

    const taken = [...rows, ['another', 'many 0', 1]]
    await expect(database.transaction(() => store(taken))).rejects.toBeInstanceOf(ConstraintError)
    expect(await triggers()).toEqual(before)
    expect(await idsOf(dataSource)).toEqual([])
    await database.transaction(function* () {
      try {
        yield* savepoint(() => store(taken))
      } catch {
        yield* store(rows)
      }
    })
    expect(await triggers()).toEqual(before)
    expect(await idsOf(dataSource)).toHaveLength(1_000)
    const { now } = await clockOf(dataSource)
    await dataSource.getRepository(Note).insert({ id: 'seen', text: 'seen' })
    expect((await clockOf(dataSource)).now).toBeGreaterThan(now)
  })

  test('waits for a transaction of the application and never becomes part of it', async () => {
    const order: string[] = []
    const transaction = dataSource
      .transaction(async manager => {
        await manager.insert(Note, { id: 'rolled back', text: 'x' })
        await pause(60)
        order.push('transaction')
        throw new Error('no')
      })
      .catch(() => {})
    await pause(10)
    await databaseOf(dataSource).transaction(() => insert('transaction'))
    order.push('transaction')
    await transaction
    expect(order).toEqual(['transaction', 'transaction'])
    expect(await idsOf(dataSource)).toEqual(['transaction'])
  })

  test('loses nothing around fifty transactions of the application, half of them rolled back', async () => {
    await dataSource.destroy()
    // the transactions follow each other closely, and a transaction may find no gap for a while
    dataSource = await open(kind, newFile(), { busyTimeout: 60_000 })
    const database = databaseOf(dataSource)
    const [kept, rejected, work]: [string[], string[], Promise<unknown>[]] = [[], [], []]
    let free: Promise<unknown> = Promise.resolve()
    for (let i = 0; i < 50; i++) {
      const id = `t${i}`
      // the application's own transactions queue, as TypeORM has one connection here
      const transaction = free.then(() =>
        dataSource.transaction(async manager => {
          await manager.insert(Note, { id, text: id })
          await pause(i % 3)
          await manager.update(Note, id, { text: `${id} again` })
          if (i % 2) throw new Error('no')
        }),
      )
      free = transaction.catch(() => {})
      work.push(transaction.then(() => kept.push(id)).catch(() => rejected.push(id)))
      const own = database.transaction(function* () {
        yield* insert(`s${i}`)
        if (i % 5 === 4) throw new Error('no')
      })
      work.push(own.then(() => kept.push(`s${i}`)).catch(() => rejected.push(`s${i}`)))
      await pause(i % 4)
    }
    await Promise.all(work)
    expect(kept.length).toBe(65)
    expect(rejected.length).toBe(35)
    expect(await idsOf(dataSource)).toEqual([...kept].sort())
    expect((await clockOf(dataSource)).bypass).toBe(null)
    const unstamped = await dataSource.query(`SELECT id FROM note WHERE "_lastChange" IS NULL OR (id LIKE 't%' AND "_lastChange" < 1000)`)
    expect(unstamped).toEqual([])
  })

  test('does not wait for ever', async () => {
    await dataSource.destroy()
    dataSource = await open(kind, newFile(), { busyTimeout: 300 })
    let end = () => {}
    const transaction = dataSource.transaction(() => new Promise<void>(resolve => (end = resolve)))
    await pause(10)
    const error = await databaseOf(dataSource)
      .transaction(() => insert('a'))
      .catch(e => e)
    expect(error).toBeInstanceOf(DatabaseBusyError)
    expect(error.message).toMatch(/^The application kept a transaction open on the shared connection for more than 300 ms/)
    end()
    await transaction
    expect(await idsOf(dataSource)).toEqual([])
  })

  test('that throws leaves nothing', async () => {
    const database = databaseOf(dataSource)
    const before = await clockOf(dataSource)
    const thrown = new Error('local')
    const own = database.transaction(function* () {
      yield* database.tick()
      yield* insert('a')
      throw thrown
    })
    await expect(own).rejects.toBe(thrown)
    expect(await idsOf(dataSource)).toEqual([])
    expect(await clockOf(dataSource)).toEqual(before)
    await database.transaction(() => insert('b'))
    expect(await idsOf(dataSource)).toEqual(['b'])
  })

  test('names the rule that a statement broke, and a savepoint leaves nothing of itself', async () => {
    const database = databaseOf(dataSource)
    await database.transaction(function* () {
      yield* insert('a')
      let error: unknown
      try {
        yield* savepoint(function* () {
          yield* insert('b')
          yield* query(`INSERT INTO note (id, text) VALUES ('c', 'a')`)
        })
      } catch (thrown) {
        error = thrown
      }
      expect(error).toBeInstanceOf(ConstraintError)
      expect(error).toMatchObject({ kind: 'unique', column: 'text' })
    })
    expect(await idsOf(dataSource)).toEqual(['a'])
  })

  test('may be answered by a statement that fails at any place, and nothing of it is left', async () => {
    let failAt = Number.POSITIVE_INFINITY
    let statements = 0
    const file = newFile()
    const failing = await open(kind, file, {
      beforeStatement: () => {
        if (++statements === failAt) throw new Error('crash')
      },
    })
    const database = databaseOf(failing)
    const body = function* (): Transaction<void> {
      yield* database.tick()
      yield* insert('a')
      yield* insert('b')
    }
    const before = await clockOf(failing)
    for (failAt = 1; ; failAt++) {
      statements = 0
      const error = await database.transaction(body).catch(e => e)
      if (!error) break
      expect(error.message).toBe('crash')
      expect([await idsOf(failing), await clockOf(failing)]).toEqual([[], before])
    }
    expect(failAt).toBeGreaterThan(5)
    expect(await idsOf(failing)).toEqual(['a', 'b'])
    await failing.destroy()
  })

  test('says so when the data source is closed', async () => {
    const other = await open(kind, newFile())
    const database = databaseOf(other)
    await other.destroy()
    await expect(database.transaction(() => insert('a'))).rejects.toThrow(DatabaseFailedError)
  })

  test('reads one snapshot where it only reads', async () => {
    const database = databaseOf(dataSource)
    await database.transaction(() => insert('a'))
    const rows = await database.transaction(() => query('SELECT id FROM note'), { mode: 'read' })
    expect(rows).toEqual([{ id: 'a' }])
  })

  test('waits while the schema is being changed', async () => {
    const database = databaseOf(dataSource)
    const order: string[] = []
    const change = database.changeSchema(async () => {
      await pause(50)
      order.push('schema')
    })
    const own = database.transaction(() => insert('a')).then(() => order.push('transaction'))
    await Promise.all([change, own])
    expect(order).toEqual(['schema', 'transaction'])
    const impatient = await open(kind, newFile(), { busyTimeout: 300 })
    let end = () => {}
    const never = databaseOf(impatient).changeSchema(() => new Promise<void>(resolve => (end = resolve)))
    await expect(databaseOf(impatient).transaction(() => insert('b'))).rejects.toThrow('The schema was being changed')
    end()
    await never
    await impatient.destroy()
  })
})

describe('a file that another process writes', () => {
  test.each(['another connection', 'another process'])('%s that keeps it locked is waited for, a bounded time', async who => {
    const file = newFile()
    const dataSource = await open('libsql', file, { busyTimeout: 400 })
    const patient = await open('libsql', file)
    const database = databaseOf(dataSource)
    const unlock = await (who === 'another connection' ? lockHere(file) : lockElsewhere(file))
    let turns = 0
    const counting = setInterval(() => turns++, 10)
    const begun = Date.now()
    const error = await database.transaction(() => insert('a')).catch(e => e)
    const waited = Date.now() - begun
    clearInterval(counting)
    expect(error).toBeInstanceOf(DatabaseBusyError)
    expect(error.message).toMatch(/^Another process kept the database locked for more than 400 ms/)
    expect(waited).toBeLessThan(4_500) // the application would wait for 5 s
    // the event loop was not held up meanwhile
    expect(turns).toBeGreaterThan(10)
    const own = databaseOf(patient).transaction(() => insert('b'))
    await pause(30)
    await unlock()
    await own
    expect(await idsOf(dataSource)).toEqual(['b'])
    // the application's own patience is what it was
    for (const each of [dataSource, patient]) {
      expect(await each.query('PRAGMA busy_timeout')).toEqual([{ timeout: 5000 }])
      await each.destroy()
    }
  })

  // what an application does when it finds the file locked, and what it must not leave behind
  describe.each(['WAL', 'DELETE'])('with the journal %s', journal => {
    let dataSource: DataSource
    let other: InstanceType<typeof libsql>
    beforeEach(async () => {
      const file = newFile()
      dataSource = await open('libsql', file, {}, { enableWAL: journal === 'WAL', timeout: 1 } as never)
      other = new libsql(file)
    })
    afterEach(async () => {
      other.close()
      await dataSource.destroy()
    })

    const insertOther = (id: string) => other.exec(`INSERT INTO note (id, text) VALUES ('${id}', '${id}')`)
    const isLocked = expect.objectContaining({ message: expect.stringContaining('database is locked') })

    async function expectBothToWrite(ids: string[]): Promise<void> {
      insertOther('x')
      await databaseOf(dataSource).transaction(() => insert('y'))
      insertOther('z')
      expect(await idsOf(dataSource)).toEqual([...ids, 'x', 'y', 'z'])
    }

    test.each([
      ['an INSERT', `INSERT INTO note (id, text) VALUES ('a', 'a')`],
      ['a BEGIN IMMEDIATE', 'BEGIN IMMEDIATE'],
    ])('%s of the application that failed because of it keeps no lock', async (_what, sql) => {
      other.exec('BEGIN IMMEDIATE')
      await expect(dataSource.query(sql)).rejects.toEqual(isLocked)
      other.exec('COMMIT')
      await expectBothToWrite([])
    })

    test('a transaction of the application that was rejected a write keeps nothing once it is rolled back', async () => {
      const transaction = dataSource.transaction(async manager => {
        await manager.find(Note)
        other.exec('BEGIN IMMEDIATE')
        await manager.insert(Note, { id: 'a', text: 'a' })
      })
      await expect(transaction).rejects.toEqual(isLocked)
      insertOther('b')
      other.exec('COMMIT')
      await expectBothToWrite(['b'])
    })

    test('a transaction of the application that was rejected a write may try it again', async () => {
      await dataSource.transaction(async manager => {
        await manager.find(Note)
        other.exec('BEGIN IMMEDIATE')
        await expect(manager.insert(Note, { id: 'a', text: 'a' })).rejects.toEqual(isLocked)
        other.exec('ROLLBACK')
        await manager.insert(Note, { id: 'a', text: 'a' })
      })
      await expectBothToWrite(['a'])
    })
  })

  test.each([
    'SELECT text FROM note',
    '/* of a query builder */ SELECT text FROM note',
    'WITH texts AS (SELECT text FROM note) SELECT text FROM texts',
  ])('%s of the application that failed because of it keeps no lock', async sql => {
    const file = newFile()
    const dataSource = await open('libsql', file, {}, { timeout: 1 } as never)
    const other = new libsql(file)
    other.exec('BEGIN EXCLUSIVE')
    await expect(dataSource.query(sql)).rejects.toThrow('database is locked')
    other.exec('ROLLBACK')
    await dataSource.query("INSERT INTO note (id, text) VALUES ('a', 'a')")
    other.exec("INSERT INTO note (id, text) VALUES ('b', 'b')")
    other.close()
    expect(await dataSource.query('SELECT text FROM note')).toEqual([{ text: 'a' }, { text: 'b' }])
    await dataSource.destroy()
  })

  test('a COMMIT of the application that was rejected for it leaves the transaction open, and keeps no lock once that is rolled back', async () => {
    const file = newFile()
    const dataSource = await open('libsql', file, {}, { timeout: 1 } as never)
    const other = new libsql(file)
    const counted = () => (other.prepare('SELECT count(*) AS count FROM note').all([]) as { count: number }[])[0]?.count
    await dataSource.query('BEGIN')
    await dataSource.query("INSERT INTO note (id, text) VALUES ('a', 'a')")
    other.exec('BEGIN')
    expect(counted()).toBe(0)
    await expect(dataSource.query('COMMIT')).rejects.toThrow('database is locked')
    other.exec('ROLLBACK')
    await dataSource.query('ROLLBACK')
    expect(counted()).toBe(0)
    await dataSource.query("INSERT INTO note (id, text) VALUES ('b', 'b')")
    other.exec("INSERT INTO note (id, text) VALUES ('c', 'c')")
    other.close()
    expect(await idsOf(dataSource)).toEqual(['b', 'c'])
    await dataSource.destroy()
  })
})

async function lockHere(file: string): Promise<() => Promise<void>> {
  const other = new libsql(file)
  other.exec('BEGIN IMMEDIATE')
  return async () => {
    other.exec('COMMIT')
    other.close()
  }
}

async function lockElsewhere(file: string): Promise<() => Promise<void>> {
  const source = `const db = new (require('libsql'))(process.argv[1]); db.exec('BEGIN IMMEDIATE'); console.log('locked')
    process.stdin.once('data', () => { db.exec('COMMIT'); process.exit() })`
  const child = spawn(process.execPath, ['-e', source, file], { stdio: ['pipe', 'pipe', 'inherit'] })
  await new Promise(resolve => child.stdout.once('data', resolve))
  return async () => {
    child.stdin.write('x')
    await new Promise(resolve => child.once('exit', resolve))
  }
}

test.each(['sqljs', 'libsql'] as const)('a full disk is reported as such, also inside a savepoint, on %s', async kind => {
  const dataSource = await open(kind, newFile())
  const database = databaseOf(dataSource)
  const [{ page_count: pages }] = await dataSource.query('PRAGMA page_count')
  await dataSource.query(`PRAGMA max_page_count = ${pages + 3}`)
  const fill = () =>
    savepoint(function* () {
      for (let i = 0; i < 100; i++)
        yield* query("INSERT INTO sync_tombstone (collection, id, stamp) VALUES ('x', ?, 1)", String(i).padEnd(3_000))
    })
  await expect(database.transaction(fill)).rejects.toThrow(/The disk is full/)
  expect(await dataSource.query('SELECT * FROM sync_tombstone')).toEqual([])
  await dataSource.query('PRAGMA max_page_count = 100000')
  await database.transaction(fill)
  await dataSource.destroy()
})

describe('a database in memory is saved', () => {
  test('once per save, to its callback', async () => {
    const autoSaveCallback = jest.fn()
    const dataSource = await open('sqljs', '', {}, { location: undefined, autoSave: true, autoSaveCallback } as Partial<DataSourceOptions>)
    const database = databaseOf(dataSource)
    await database.save()
    autoSaveCallback.mockClear()
    for (const id of ['a', 'b', 'c']) await database.transaction(() => insert(id))
    expect(autoSaveCallback).toHaveBeenCalledTimes(0)
    await database.save()
    await database.save()
    expect(autoSaveCallback).toHaveBeenCalledTimes(1)
    // the export leaves the statements of the next transaction usable, and foreign keys on
    await database.transaction(() => insert('d'))
    await database.save()
    expect(autoSaveCallback).toHaveBeenCalledTimes(2)
    expect(await idsOf(dataSource)).toEqual(['a', 'b', 'c', 'd'])
    await database.transaction(() => query('SELECT 1'), { mode: 'read' })
    await database.save()
    expect(autoSaveCallback).toHaveBeenCalledTimes(2)
    expect(await dataSource.query('PRAGMA foreign_keys')).toEqual([{ foreign_keys: 1 }])
    await dataSource.destroy()
  })

  test('or its sync fails, while the application keeps a transaction open', async () => {
    const autoSaveCallback = jest.fn()
    const dataSource = await open('sqljs', '', { busyTimeout: 50 }, {
      location: undefined,
      autoSave: true,
      autoSaveCallback,
    } as Partial<DataSourceOptions>)
    const database = databaseOf(dataSource)
    await database.transaction(() => insert('a'))
    autoSaveCallback.mockClear()
    const runner = dataSource.createQueryRunner()
    await runner.startTransaction()
    await expect(database.save()).rejects.toThrow(DatabaseBusyError)
    expect(autoSaveCallback).toHaveBeenCalledTimes(0)
    await runner.rollbackTransaction()
    autoSaveCallback.mockClear()
    await database.save()
    expect(autoSaveCallback).toHaveBeenCalledTimes(1)
    await dataSource.destroy()
  })

  test('to its location', async () => {
    const file = newFile()
    const dataSource = await open('sqljs', file)
    const database = databaseOf(dataSource)
    await database.transaction(() => insert('a'))
    await database.save()
    const saved = await open('sqljs', '', {}, {
      location: undefined,
      autoSave: false,
      database: readFileSync(file),
    } as Partial<DataSourceOptions>)
    expect(await idsOf(saved)).toEqual(['a'])
    await Promise.all([saved.destroy(), dataSource.destroy()])
  })

  test('by the application, where it asked for that; what failed is saved the next time', async () => {
    const save = jest.fn<() => Promise<void>>().mockResolvedValue(undefined)
    const dataSource = await open('sqljs', '', { save }, { location: undefined, autoSave: false } as Partial<DataSourceOptions>)
    const database = databaseOf(dataSource)
    await database.save()
    save.mockClear()
    save.mockRejectedValueOnce(new Error('quota'))
    await database.transaction(() => insert('a'))
    await expect(database.save()).rejects.toThrow(DatabaseFailedError)
    await database.save()
    await database.save()
    expect(save).toHaveBeenCalledTimes(2)
    await dataSource.destroy()
  })
})
