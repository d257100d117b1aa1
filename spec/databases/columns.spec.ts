import 'reflect-metadata'
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { mysqlUrl } from '../support/mysqlServer.js'
import { Db, pairs, send, withPlainBytes } from './values/databases.js'
import { EveryType, values } from './values/everyType.js'

const zones = ['America/St_Johns', 'Asia/Kolkata', 'Pacific/Auckland']
const inZone = process.env.VALUES_ZONE
const runs = Number(process.env.VALUES_RUNS) || (inZone ? 40 : 80)

test.each(pairs)('a value of every column type survives the way from %s to %s', async (from, to) => {
  const a = await Db.open(from, [EveryType])
  const b = await Db.open(to, [EveryType])
  const row = fc.record(Object.fromEntries(Object.entries(values).map(([type, value]) => [type, fc.option(value, { freq: 8 })])))
  await fc.assert(
    fc.asyncProperty(row, async value => {
      const id = randomUUID()
      await a.dataSource.getRepository(EveryType).save({ id, ...value })
      const wire = send(a, b, EveryType, id)
      expect(await b.find(EveryType, id)).toEqual(await a.find(EveryType, id))
      const quoteReals = from === to
      expect(b.cells(EveryType, id, { quoteReals })).toEqual(a.cells(EveryType, id, { quoteReals }))
      expect(JSON.parse(JSON.stringify(b.readWire(EveryType, id)))).toEqual(wire)
      for (const codec of b.codecs(EveryType)) {
        expect([codec.property, codec.canonical(wire[codec.property]!)]).toEqual([codec.property, wire[codec.property]])
      }
    }),
    { numRuns: runs },
  )
})

test.each(['sqljs', 'libsql'] as const)('wire values become what %s entities hold, and back', async kind => {
  const db = await Db.open(kind, [EveryType])
  const row = fc.record(Object.fromEntries(Object.entries(values).map(([type, value]) => [type, fc.option(value)])))
  await fc.assert(
    fc.asyncProperty(row, async value => {
      const id = randomUUID()
      await db.dataSource.getRepository(EveryType).save({ id, ...value })
      const wire = db.readWire(EveryType, id)
      const found = (await db.dataSource.getRepository(EveryType).findOneByOrFail({ id })) as Record<string, unknown>
      for (const codec of db.codecs(EveryType)) {
        const { property } = codec
        const entityValue = codec.toEntity(wire[property]!)
        // TypeORM rounds integers beyond 2^53 on SQLite; the codec gives their digits
        const isRounded = typeof found[property] === 'number' && Number.isInteger(found[property]) && !Number.isSafeInteger(found[property])
        const seen = isRounded && typeof entityValue === 'string' ? Number(entityValue) : entityValue
        expect([property, withPlainBytes(seen)]).toEqual([property, withPlainBytes(found[property])])
        // TypeORM pads 1:2:3 when it reads it
        const isPadded = property === 'time' && entityValue !== wire.time
        expect([property, codec.fromEntity(entityValue)]).toEqual([property, isPadded ? entityValue : wire[property]])
      }
    }),
    { numRuns: runs },
  )
})

describe('the types that are tried', () => {
  test.each(['sqljs', 'libsql'] as const)('are all that TypeORM has for %s', async kind => {
    const { driver } = (await Db.open(kind, [EveryType])).dataSource
    expect(driver.supportedDataTypes.filter(type => !(String(type) in values))).toEqual([])
  })
})

if (inZone) {
  test('the zone is the one that was asked for', () => {
    // a zone may have two names: Kolkata, Calcutta
    const asked = Intl.DateTimeFormat('en', { timeZone: inZone })
    expect(Intl.DateTimeFormat().resolvedOptions().timeZone).toBe(asked.resolvedOptions().timeZone)
    expect(new Date(2026, 0, 1).getUTCMinutes() + new Date(2026, 0, 1).getUTCHours()).not.toBe(0)
  })
} else {
  test.each(zones)('all this holds in %s', async zone => {
    const env = { ...process.env, TZ: zone, VALUES_ZONE: zone }
    const arguments_ = [
      'node_modules/jest/bin/jest.js',
      'spec/databases/columns',
      'spec/databases/values',
      '--reporters=default',
      '--runInBand',
      '--testPathIgnorePatterns=lengths', // how long a text is does not depend on the zone
    ]
    const { stderr } = await promisify(execFile)(process.execPath, arguments_, { env }).catch(error => error)
    expect(stderr).toMatch(mysqlUrl ? /Tests: +\d+ passed, \d+ total/ : /Tests: +\d+ skipped, \d+ passed, \d+ total/)
  })
}
