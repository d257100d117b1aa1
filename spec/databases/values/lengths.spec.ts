import 'reflect-metadata'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import libsql from 'libsql'
import { DataSource, type DataSourceOptions, EntitySchema } from 'typeorm'
import { type ColumnCodec, describeColumns } from '../../../src/databases/columns.js'
import { loadKind } from '../../../src/databases/open.js'
import { decodeBase64, encodeBase64 } from '../../../src/databases/values/base64.js'
import { bounded } from '../../../src/databases/values/columnType.js'
import { decodeHex, encodeHex } from '../../../src/databases/values/hex.js'
import { ValueError } from '../../../src/errors.js'
import { everyMysqlType } from './everyMysqlType.js'
import { EveryType } from './everyType.js'
import { columns as postgresColumns } from './postgresColumns.js'

/** The codecs of every column, of a data source that is not open: no server is needed. */
async function codecsOf(options: DataSourceOptions, entity: EntitySchema<Record<string, unknown>>): Promise<ColumnCodec[]> {
  const dataSource = new DataSource({ ...options, entities: [entity] } as DataSourceOptions)
  await (dataSource as unknown as { buildMetadatas(): Promise<void> }).buildMetadatas()
  await loadKind(dataSource)
  return describeColumns(dataSource.getMetadata(entity), dataSource)
}

const everyPostgresType = new EntitySchema<Record<string, unknown>>({
  name: 'EveryPostgresType',
  columns: {
    id: { type: String, primary: true },
    ...Object.fromEntries(Object.entries(postgresColumns).map(([name, { options }]) => [name, { nullable: true, ...options }])),
  },
})

const databases: [string, () => Promise<ColumnCodec[]>][] = [
  ['SQLite', () => codecsOf({ type: 'better-sqlite3', database: ':memory:', driver: libsql }, EveryType)],
  ['PostgreSQL', () => codecsOf({ type: 'postgres' }, everyPostgresType)],
  ['MariaDB', () => codecsOf({ type: 'mariadb', database: 'none' }, everyMysqlType())],
]

const LENGTH = 6_000_000
const repeated = (text: string, head = '', tail = '') => head + text.repeat(LENGTH / text.length) + tail

const longTexts: [string, string][] = [
  ['letters', repeated('A')],
  ['digits', repeated('7', '1')],
  ['nines', repeated('9', '0.')],
  ['spaces', repeated(' ', 'x', 'x')],
  ['spaces in a list', repeated(' ', '{[1', '2,3)}')],
  ['bytes', repeated('a0', '\\x')],
  ['numbers in a list', repeated('1,', '[', '1]')],
  ['points', repeated(',(1,1)', '((1,1)', ')')],
  ['points in words', repeated(', 1 1', 'LINESTRING(1 1', ')')],
  ['an item in quotes', repeated('b', '{"', '"}')],
  ['quotes', repeated('\\"', '"', '"=>"1"')],
  ['colons', repeated('a:')],
  ['elements', repeated('<a>')],
  ['steps', repeated('.*', '$')],
]

describe.each(databases)('on %s', (_, open) => {
  test.each(longTexts)('a text of millions of characters is stored or rejected, whatever the column: %s', async (_, text) => {
    for (const codec of await open()) {
      const outcome = (() => {
        try {
          codec.fromWire(text)
          return 'taken'
        } catch (error) {
          return error instanceof ValueError ? 'rejected' : error
        }
      })()
      expect([codec.property, outcome]).toEqual([codec.property, expect.stringMatching(/^(taken|rejected)$/)])
      // an array's text is parsed, as long as it is
      if (!codec.metadata.isArray || text.startsWith('{'))
        expect([codec.property, codec.toWire(text)]).toEqual([codec.property, expect.anything()])
    }
  })

  test('a number beyond 2^53 is rejected by columns of whole numbers and decimals, for JSON has rounded it; its digits are not', async () => {
    const exact = (await open()).filter(
      c => /int|numeric|decimal|bigint/i.test(c.declared) && !c.metadata.isArray && !/range|interval|point/i.test(c.declared),
    )
    expect(exact.length).toBeGreaterThan(3)
    for (const codec of exact) expect(() => codec.fromWire(2 ** 53)).toThrow(ValueError)
    const largest = exact.find(c => /bigint|int8/i.test(c.declared)) as ColumnCodec
    expect(largest.canonical('9007199254740993')).toBe('9007199254740993')
    expect(largest.fromEntity(2 ** 60)).toBe('1152921504606846976')
  })
})

test('a text that is too long is rejected before anything looks into it', () => {
  const seen: unknown[] = []
  const type = bounded({ read: x => x, placeholder: '?', toWire: cell => seen.push(cell), fromWire: value => seen.push(value) }, 3)
  const reject = (detail: string): never => {
    throw new Error(detail)
  }
  expect(() => type.fromWire('1234', reject)).toThrow('is longer than 3 characters')
  expect(type.toWire('1234')).toBe('1234')
  expect(seen).toEqual([])
  type.fromWire('123', reject)
  type.toWire('123')
  expect(seen).toEqual(['123', '123'])
})

test('base64 and hexadecimal digits are those of Node, up to a photo of 10 MB', () => {
  const check = (bytes: Uint8Array) => {
    const node = Buffer.from(bytes)
    expect(encodeBase64(bytes)).toBe(node.toString('base64'))
    expect(encodeHex(bytes)).toBe(node.toString('hex'))
    expect(Buffer.compare(decodeBase64(encodeBase64(bytes)) as Uint8Array, node)).toBe(0)
    expect(Buffer.compare(decodeHex(`\\x${encodeHex(bytes).toUpperCase()}`, 2) as Uint8Array, node)).toBe(0)
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), check))
  check(Uint8Array.from({ length: 10_000_000 }, (_, i) => (i * 2_654_435_761) >>> 13))
})

test.each(['A', 'AB=C', 'AAAA AAA', 'AAA\n', '====', 'A===', 'AA=A', '=AAA', 'AAA-', 'AAAé', 'AAAA===='])('%j is no base64', text => {
  expect(decodeBase64(text)).toBeUndefined()
})

test.each(['abc', 'ag', 'é0', '0 '])('%j is no hexadecimal number', text => {
  expect(decodeHex(text)).toBeUndefined()
})
