import 'reflect-metadata'
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { EntitySchema } from 'typeorm'
import { equalValues } from '../../../src/databases/columns.js'
import type { Json } from '../../../src/protocol/messages.js'
import { postgresUrl } from '../../support/postgresServer.js'
import { Db } from './databases.js'
import { columns } from './postgresColumns.js'
import { PostgresDatabase } from './postgresDatabase.js'
import { hostile } from './postgresHostile.js'

const inZone = process.env.POSTGRES_VALUES_ZONE
const runs = Number(process.env.VALUES_RUNS) || (inZone ? 15 : 25)

const saved = Object.entries(columns).flatMap(([name, { saved }]) => (saved ? [[name, saved] as const] : []))
const row = fc.record(Object.fromEntries(saved.map(([name, value]) => [name, fc.option(value, { freq: 10 })])))
const stored = Object.entries(columns).flatMap(([name, { stored = [] }]) => stored.map(text => [name, text] as const))

// no server has these
const untried = ['geometry', 'geography', 'vector', 'halfvec']

// values.spec.ts runs this folder in several zones, which this file does by itself
const isAskedByOthers = process.env.VALUES_ZONE !== undefined
if (isAskedByOthers) test('PostgreSQL has zones of its own to be tried in', () => expect(inZone).toBe(undefined))

const describeServer = isAskedByOthers ? () => {} : postgresUrl ? describe : describe.skip

describeServer('values in PostgreSQL', () => {
  let postgres: PostgresDatabase
  beforeAll(async () => {
    postgres = await PostgresDatabase.create()
  })
  afterAll(() => postgres?.drop())

  test('the types that are tried are all that TypeORM has, but for those of extensions that are missing', () => {
    const tried = new Set(Object.values(columns).map(({ options }) => options.type))
    expect(postgres.dataSource.driver.supportedDataTypes.filter(type => !tried.has(type))).toEqual(untried)
  })

  test('what was saved comes back the same from another row, and entities are what TypeORM finds', async () => {
    await fc.assert(
      fc.asyncProperty(row, async value => {
        const [id, other] = [randomUUID(), randomUUID()]
        await postgres.dataSource.getRepository('Everything').save({ id, ...value })
        await expectSameElsewhere(
          id,
          other,
          saved.map(([name]) => name),
        )
      }),
      { numRuns: runs },
    )
  })

  test.each(stored)('%s: %s that SQL has stored comes back the same', async (name, text) => {
    const [id, other] = [randomUUID(), randomUUID()]
    await postgres.client.query(
      `INSERT INTO everything (id, "${name}") VALUES ($1, CAST($2::text AS ${postgres.catalogTypes.get(name)}))`,
      [id, text],
    )
    const wire = await expectSameElsewhere(id, other, [name])
    expect(wire[name]).not.toBe(undefined)
  })

  test('a wire value that is accepted is stored, and reads as the canonical one; TypeORM finds what the entity was given', async () => {
    const wrong: unknown[] = []
    let accepted = 0
    for (const name of Object.keys(columns)) {
      const codec = postgres.codec(name)
      const held = await postgres.hold(hostile.map(value => ({ [name]: value })))
      for (const [i, { value: row, errors }] of held.entries()) {
        const value = hostile[i]
        if (errors.length) {
          expect(errors.map(({ property }) => property)).toEqual([name])
          continue
        }
        accepted++
        const id = randomUUID()
        try {
          await postgres.store(id, { [name]: value as Json })
          const wire = (await postgres.read(id, [name]))[name] as Json
          const canonical = row[name] as Json
          if (!equalValues(wire, canonical)) wrong.push([name, value, 'is read as', wire, 'and should be', canonical])
          const [found, given] = [(await postgres.find(id))[name], codec.toEntity(canonical)]
          try {
            expect(given).toEqual(found)
          } catch {
            wrong.push([name, value, 'is found as', found, 'and should be', given])
          }
        } catch (error) {
          wrong.push([name, value, (error as Error).message])
        }
      }
    }
    expect(wrong.map(line => JSON.stringify(line))).toEqual([])
    expect(accepted).toBeGreaterThan(2_000)
  })

  test('nothing that a cell may hold makes reading throw', () => {
    const cells = [
      ...hostile.filter(value => !isDeep(value)),
      new Date(Number.NaN),
      new Date(0),
      Buffer.from([255]),
      5n,
      [new Date(Number.NaN)],
      { days: 0.5 },
      '#[',
      '#[[1],[1]',
      'hff',
      'h00',
    ]
    for (const codec of postgres.codecs.values()) for (const cell of cells) expect(codec.toWire(cell)).toBeDefined()
  })

  test('settings of the session change nothing on the wire', async () => {
    const [sample] = fc.sample(row, { numRuns: 1, seed: 7 })
    const id = randomUUID()
    await postgres.dataSource.getRepository('Everything').save({ id, ...sample })
    for (const [name, text] of stored) {
      await postgres.client.query(`UPDATE everything SET "${name}" = CAST($2::text AS ${postgres.catalogTypes.get(name)}) WHERE id = $1`, [
        id,
        text,
      ])
    }
    const wire = await postgres.read(id)
    const settings = [
      ['DateStyle', 'German, DMY', 'SQL, MDY', 'Postgres, DMY'],
      ['TimeZone', 'America/St_Johns', 'Asia/Kolkata'],
      ['IntervalStyle', 'sql_standard', 'iso_8601', 'postgres_verbose'],
      ['bytea_output', 'escape'],
      ['extra_float_digits', '-15', '0', '3'],
      ['xmloption', 'document'],
    ]
    for (const [setting, ...values] of settings) {
      for (const value of values) {
        await postgres.dataSource.query(`SET ${setting} TO ${setting === 'DateStyle' ? value : `'${value}'`}`)
        expect([setting, value, await postgres.read(id)]).toEqual([setting, value, wire])
        expect([setting, value, await postgres.canonical(wire)]).toEqual([setting, value, wire])
        const other = randomUUID()
        await postgres.store(other, wire)
        expect([setting, value, await postgres.read(other)]).toEqual([setting, value, wire])
      }
      // the transaction's own settings end with it
      const [{ now }] = await postgres.dataSource.query(`SELECT current_setting('${setting}') AS now`)
      expect([setting, now]).toEqual([setting, values.at(-1)])
      await postgres.dataSource.query(`RESET ${setting}`)
    }
  })

  test('SQLite holds the same wire values', async () => {
    const shared = Object.entries(columns).flatMap(([name, { sqlite, saved }]) => (sqlite && saved ? [{ name, sqlite, saved }] : []))
    const OnSqlite = new EntitySchema<Record<string, unknown>>({
      name: 'OnSqlite',
      columns: {
        id: { type: String, primary: true },
        ...Object.fromEntries(
          shared.map(({ name, sqlite }) => [
            name,
            { type: sqlite, nullable: true, name: `the ${name}${name === name.toLowerCase() ? '' : ' too'}` },
          ]),
        ),
      },
    })
    const sqlite = await Db.open('libsql', [OnSqlite])
    const values = fc.record(Object.fromEntries(shared.map(({ name, saved }) => [name, fc.option(saved)])))
    await fc.assert(
      fc.asyncProperty(values, async value => {
        const [id, back] = [randomUUID(), randomUUID()]
        await postgres.dataSource.getRepository('Everything').save({ id, ...value })
        const names = shared.map(({ name }) => name)
        const wire = JSON.parse(JSON.stringify(await postgres.read(id, names)))
        sqlite.storeWire(OnSqlite, id, wire)
        const there = JSON.parse(JSON.stringify(sqlite.readWire(OnSqlite, id)))
        for (const name of names) expect([name, equalValues(there[name], wire[name])]).toEqual([name, true])
        await postgres.store(back, there)
        const again = await postgres.read(back, names)
        for (const name of names) expect([name, equalValues(again[name], wire[name])]).toEqual([name, true])
      }),
      { numRuns: runs },
    )
    await sqlite.dataSource.destroy()
  })

  test.each([
    ['timestamp', 1234567890, '2009-02-13T23:31:30.000Z'],
    ['timestamptz', 1234567890123, '2009-02-13T23:31:30.123Z'],
    ['withZone', '2026-01-31T10:00:00.250Z', '2026-01-31T10:00:00.300Z'],
    ['withoutZone', '2026-01-31T10:00:00.500Z', '2026-01-31T10:00:01.000Z'],
    ['date', '2026-1-5', '2026-01-05'],
    ['time', '9:05', '09:05:00'],
    ['timetz', '10:00', '10:00:00+00'],
    ['int8', '12', 12],
    ['numeric102', '1.5', '1.50'],
    ['numeric102', '1.005', '1.01'],
    ['real', 0.1, 0.1],
    ['character', 'ab ', 'ab'],
    ['uuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
    ['numbers', '7', 7],
    ['enumNumbers', [7, 1], [7, 1]],
    ['tstzrange', '[2026-01-31 10:00, "2026-02-01" )', '["2026-01-31 10:00:00+00","2026-02-01 00:00:00+00")'],
    ['tstzmultirange', '{[2026-01-31T10:00+02,infinity]}', '{["2026-01-31 08:00:00+00",infinity]}'],
    ['interval', 'P1Y2M3DT4H5M6S', '1 year 2 mons 3 days 04:05:06'],
  ] as [string, Json, Json][])('%s takes %j and makes %j of it', async (name, given, made) => {
    expect(await postgres.canonical({ [name]: given })).toEqual({ [name]: made })
  })

  test.each([
    ['int2', 32768, 'is out of range'],
    ['int', 1.5, 'is not an integer'],
    ['Number', '2147483648', 'is out of range'],
    ['numeric102', '99999999999.99', 'has more than 12 digits'],
    ['varchar10', 'x'.repeat(11), 'is longer than 10 characters'],
    ['text', 'a\0b', 'contains a NUL character'],
    ['jsonb', { a: ['\0'] }, 'contains a NUL character'],
    ['jsonb', { '\ud800': 1 }, 'contains half a character (a lone surrogate)'],
    ['enum', 'Red', 'is not one of the listed values'],
    ['date', '2026-02-31', 'is not a date'],
    ['uuid', 'x', 'is not a UUID'],
    ['ints', [[1], [2, 3]], 'is an array of arrays of different length'],
    ['bytea', 'x', 'is not base64'],
  ] as [string, Json, string][])('%s rejects %j, since it %s', (name, value, detail) => {
    expect(() => postgres.codec(name).fromWire(value)).toThrow(detail)
  })

  test('an entity of a server in this time zone is the moment that the client wrote', async () => {
    const id = randomUUID()
    const moment = '2026-07-01T12:34:56.789Z'
    await postgres.store(id, { timestamp: moment, timestamptz: moment, Date: moment })
    const found = await postgres.find(id)
    expect([found.timestamp, found.timestamptz, found.Date]).toEqual(Array(3).fill(new Date(moment)))
  })

  if (!inZone) {
    test.each(['America/St_Johns', 'Asia/Kolkata', 'Europe/Vienna'])(
      'all this holds in %s',
      async zone => {
        const env = { ...process.env, TZ: zone, POSTGRES_VALUES_ZONE: zone }
        const arguments_ = ['node_modules/jest/bin/jest.js', 'spec/databases/values/postgres.spec.ts', '--reporters=default', '--runInBand']
        const { stderr } = await promisify(execFile)(process.execPath, arguments_, { env, maxBuffer: 2 ** 26 }).catch(error => error)
        expect(stderr).toMatch(/Tests: +\d+ passed, \d+ total/)
      },
      600_000,
    )
  }

  /** Sends a row through JSON into another and compares wire values, and entities made of them with those that TypeORM finds. */
  async function expectSameElsewhere(id: string, other: string, names: string[]): Promise<Record<string, Json>> {
    const wire = JSON.parse(JSON.stringify(await postgres.read(id, names)))
    await postgres.store(other, wire)
    const [again, found, there] = [await postgres.read(other, names), await postgres.find(id), await postgres.find(other)]
    const held = await postgres.canonical(wire)
    const fromFound = await postgres.canonical(
      Object.fromEntries(names.map(name => [name, found[name] === null ? null : postgres.codec(name).fromEntity(found[name])])),
    )
    for (const name of names) {
      const codec = postgres.codec(name)
      expect([name, equalValues(again[name], wire[name])]).toEqual([name, true])
      expect([name, held[name]]).toEqual([name, wire[name]])
      expect([name, codec.toEntity(wire[name])]).toEqual([name, there[name]])
      // an array has no other first place than 1 on the wire
      if (name !== 'citexts') expect([name, there[name]]).toEqual([name, found[name]])
      expect([name, equalValues(fromFound[name] as Json, wire[name])]).toEqual([name, true])
    }
    return wire
  }
})

// no driver gives such, and String() itself gives up
function isDeep(value: Json): boolean {
  return Array.isArray(value) && Array.isArray(value[0]) && Array.isArray(value[0][0])
}
