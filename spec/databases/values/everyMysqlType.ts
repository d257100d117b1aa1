import fc from 'fast-check'
import { EntitySchema, type EntitySchemaColumnOptions } from 'typeorm'
import type { MysqlKind } from './mysqlDb.js'

/** A column, and what an application may save in it. */
export interface Sample {
  readonly column: Partial<EntitySchemaColumnOptions> & { type: any }
  readonly value: fc.Arbitrary<unknown>
  /** Where the server is a MariaDB and TypeORM knows it. */
  readonly only?: MysqlKind
}

const text = (maxLength: number) => fc.string({ unit: 'binary', maxLength }).filter(s => !s.includes('\0') && !s.endsWith(' '))
const bmp = (maxLength: number) =>
  text(maxLength)
    .map(s => s.replace(/[\ud800-\udfff]/g, ''))
    .filter(s => !s.endsWith(' '))
const bytes = (maxLength: number, minLength = 0) => fc.uint8Array({ minLength, maxLength }).map(array => Buffer.from(array))
const signed = (bits: number) => fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 })
const unsigned = (bits: number) => fc.integer({ min: 0, max: 2 ** bits - 1 })
const double = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(0, -0, 5e-324, Number.MAX_VALUE, 0.1 + 0.2, 2 ** 63, 1e15, 2.2250738585072014e-308),
)
const single = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(0.1, 16777216, 1e-45, 3.4028234663852886e38, 1.1),
)
const day = (from: string, to: string) => fc.date({ noInvalidDate: true, min: new Date(from), max: new Date(to) })
const cut = (precision: number, date: fc.Arbitrary<Date>) =>
  date.map(d => new Date(Math.floor(d.getTime() / 10 ** (3 - precision)) * 10 ** (3 - precision)))
const anyDay = day('0101-01-02T00:00:00Z', '9999-12-30T00:00:00Z')
const stamps = day('1970-01-03T00:00:00Z', '2038-01-17T00:00:00Z')
const two = (n: number) => String(n).padStart(2, '0')
const clock = fc
  .tuple(fc.integer({ min: -838, max: 838 }), fc.nat(59), fc.nat(58))
  .map(([h, m, s]) => `${h < 0 ? '-' : ''}${two(Math.abs(h))}:${two(m)}:${two(s)}`)
const decimal = (whole: number, scale: number) =>
  fc
    .tuple(fc.bigInt(-(10n ** BigInt(whole)) + 1n, 10n ** BigInt(whole) - 1n), fc.nat(10 ** Math.min(scale, 9) - 1))
    .map(([a, b]) => (scale ? `${a}.${String(b).padStart(Math.min(scale, 9), '0')}` : `${a}`))
const json = fc.oneof(
  fc
    .jsonValue({ maxDepth: 5 })
    .filter(
      value =>
        typeof value !== 'string' &&
        !/\d{16}|"(__\w+__|to\w*String|valueOf|constructor|hasOwnProperty|isPrototypeOf|propertyIsEnumerable)"/.test(
          JSON.stringify(value),
        ) &&
        value !== null,
    ),
  fc.constantFrom<unknown>(0, -1.5, 0.1 + 0.2, 1e21, 'text', 'a\0b', true, [], {}, [[null]], { emoji: '😀' }),
)
const point = fc.tuple(fc.integer(), fc.integer({ min: -90, max: 90 })).map(([x, y]) => `${x} ${y}`)
const points = fc.array(point, { minLength: 2, maxLength: 5 }).map(list => list.join(','))
const polygon = fc.tuple(point, point, point).map(([a, b, c]) => `((${a},${b},${c},${a}))`)

export const samples: Record<string, Sample> = {
  tinyint: { column: { type: 'tinyint' }, value: signed(8) },
  tinyintUnsigned: { column: { type: 'tinyint', unsigned: true }, value: unsigned(8) },
  smallint: { column: { type: 'smallint' }, value: signed(16) },
  smallintUnsigned: { column: { type: 'smallint', unsigned: true }, value: unsigned(16) },
  mediumint: { column: { type: 'mediumint' }, value: signed(24) },
  mediumintUnsigned: { column: { type: 'mediumint', unsigned: true }, value: unsigned(24) },
  int: { column: { type: 'int' }, value: signed(32) },
  integer: { column: { type: 'integer' }, value: signed(32) },
  intUnsigned: { column: { type: 'int', unsigned: true }, value: unsigned(32) },
  number: { column: { type: Number }, value: signed(32) },
  bigint: { column: { type: 'bigint' }, value: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map(String) },
  bigintUnsigned: { column: { type: 'bigint', unsigned: true }, value: fc.bigInt(0n, 2n ** 64n - 1n).map(String) },
  bit: { column: { type: 'bit' }, value: fc.nat(1) },
  boolean: { column: { type: 'boolean' }, value: fc.boolean() },
  bool: { column: { type: 'bool' }, value: fc.boolean() },
  booleanClass: { column: { type: Boolean }, value: fc.boolean() },
  decimal: { column: { type: 'decimal' }, value: decimal(10, 0) },
  numeric: { column: { type: 'numeric', precision: 12, scale: 3 }, value: fc.oneof(decimal(9, 3), decimal(8, 7)) },
  dec: { column: { type: 'dec', precision: 65, scale: 30 }, value: decimal(35, 30) },
  fixed: { column: { type: 'fixed', precision: 5, scale: 5 }, value: fc.nat(99999).map(n => `0.${String(n).padStart(5, '0')}`) },
  float: { column: { type: 'float' }, value: single },
  float7: { column: { type: 'float', precision: 7, scale: 2 }, value: fc.integer({ min: -9999999, max: 9999999 }).map(n => n / 100) },
  float30: { column: { type: 'float', precision: 30 }, value: double },
  double: { column: { type: 'double' }, value: double },
  double10: { column: { type: 'double', precision: 10, scale: 2 }, value: fc.integer().map(n => n / 100) },
  doubleUnsigned: { column: { type: 'double', unsigned: true }, value: double.map(n => Math.abs(n)) },
  'double precision': { column: { type: 'double precision' }, value: double },
  real: { column: { type: 'real' }, value: double },
  datetime: { column: { type: 'datetime' }, value: anyDay },
  datetime2: { column: { type: 'datetime', precision: 2 }, value: anyDay },
  datetime3: { column: { type: 'datetime', precision: 3 }, value: anyDay },
  datetime6: { column: { type: 'datetime', precision: 6 }, value: anyDay },
  dateClass: { column: { type: Date }, value: cut(0, anyDay) },
  timestamp: { column: { type: 'timestamp' }, value: cut(0, stamps) },
  timestamp3: { column: { type: 'timestamp', precision: 3 }, value: stamps },
  date: {
    column: { type: 'date' },
    value: fc.oneof(
      anyDay,
      anyDay.map(d => d.toISOString().slice(0, 10)),
      fc.constantFrom('2026-1-5'),
    ),
  },
  time: { column: { type: 'time' }, value: fc.oneof(anyDay, clock, fc.constantFrom('10:00', '1:2:3', '-00:00:00')) },
  time3: { column: { type: 'time', precision: 3 }, value: clock.map(time => `${time}.25`) },
  year: { column: { type: 'year' }, value: fc.integer({ min: 1901, max: 2155 }) },
  char: { column: { type: 'char', length: 20 }, value: text(10).map(s => `${s} `) },
  nchar: { column: { type: 'nchar' }, value: text(1).filter(s => s.length < 2) },
  'national char': { column: { type: 'national char' }, value: fc.constantFrom('', 'a', 'é') },
  varchar: { column: { type: 'varchar' }, value: text(100) },
  varchar10: { column: { type: 'varchar', length: 10 }, value: fc.oneof(text(5), fc.constantFrom('spaces   ', '😀'.repeat(10))) },
  varcharUtf8: { column: { type: 'varchar', charset: 'utf8mb3' }, value: bmp(100) },
  varcharLatin: { column: { type: 'varchar', charset: 'latin1' }, value: fc.constantFrom('', 'abc', 'Käse ÿ') },
  nvarchar: { column: { type: 'nvarchar' }, value: text(100) },
  'national varchar': { column: { type: 'national varchar' }, value: text(100) },
  stringClass: { column: { type: String }, value: text(100) },
  tinytext: { column: { type: 'tinytext' }, value: text(60) },
  text: { column: { type: 'text' }, value: fc.oneof(text(300), fc.constant('\ufeffmark')) },
  mediumtext: { column: { type: 'mediumtext' }, value: text(300) },
  longtext: { column: { type: 'longtext' }, value: text(300) },
  tinyblob: { column: { type: 'tinyblob' }, value: bytes(255) },
  blob: { column: { type: 'blob' }, value: bytes(300) },
  mediumblob: { column: { type: 'mediumblob' }, value: bytes(300) },
  longblob: { column: { type: 'longblob' }, value: bytes(300) },
  binary: { column: { type: 'binary', length: 8 }, value: bytes(8) },
  varbinary: { column: { type: 'varbinary', length: 30 }, value: bytes(30) },
  enum: { column: { type: 'enum', enum: ['red', 'light green', 'äöü'] }, value: fc.constantFrom('red', 'light green', 'äöü') },
  enumNumber: { column: { type: 'enum', enum: [1, 2, 10] as any }, value: fc.constantFrom(1, 2, 10) },
  'simple-enum': { column: { type: 'simple-enum', enum: ['red', '7'] }, value: fc.constantFrom('red', '7') },
  set: { column: { type: 'set', enum: ['b', 'a', 'c d'] }, value: fc.subarray(['a', 'b', 'c d']) },
  json: { column: { type: 'json' }, value: json },
  'simple-json': { column: { type: 'simple-json' }, value: json },
  'simple-array': { column: { type: 'simple-array' }, value: fc.array(text(10)).filter(list => list.length !== 1 || list[0] !== '') },
  uuid: { column: { type: 'uuid' }, value: fc.uuid().filter(id => !/^.{14}8...-80/.test(id)) },
  inet4: { column: { type: 'inet4' }, value: fc.ipV4() },
  inet6: { column: { type: 'inet6' }, value: fc.ipV6().filter(address => !address.includes('.')) },
  geometry: { column: { type: 'geometry' }, value: point.map(p => `POINT(${p})`) },
  point: {
    column: { type: 'point' },
    value: fc
      .tuple(double, double)
      .map(([x, y]) => `POINT(${x + 0} ${y + 0})`)
      .filter(p => !/e[+-]?\d\d/.test(p)),
  },
  linestring: { column: { type: 'linestring' }, value: points.map(list => `LINESTRING(${list})`) },
  polygon: { column: { type: 'polygon' }, value: polygon.map(p => `POLYGON${p}`) },
  multipoint: { column: { type: 'multipoint' }, value: points.map(list => `MULTIPOINT(${list})`) },
  multilinestring: { column: { type: 'multilinestring' }, value: points.map(list => `MULTILINESTRING((${list}),(${list}))`) },
  multipolygon: { column: { type: 'multipolygon' }, value: polygon.map(p => `MULTIPOLYGON(${p})`) },
  geometrycollection: { column: { type: 'geometrycollection' }, value: point.map(p => `GEOMETRYCOLLECTION(POINT(${p}))`) },
}

export function everyMysqlType(name = 'EveryMysqlType'): EntitySchema<Record<string, unknown>> {
  const columns = Object.entries(samples).map(([property, { column }]) => [property, { nullable: true, ...column }])
  return new EntitySchema<Record<string, unknown>>({
    name,
    columns: { id: { type: String, primary: true }, ...Object.fromEntries(columns) },
  })
}

const withoutTwin = ['set', 'bit', 'inet4', 'inet6', 'uuid', 'year', 'point', 'geometry', 'linestring', 'polygon']

/** The same properties as SQLite has them, where it has such a type. */
export function asOnSqlite(): EntitySchema<Record<string, unknown>> {
  const types: Record<string, any> = {
    timestamp: 'datetime',
    bool: 'boolean',
    dec: 'decimal',
    fixed: 'decimal',
    char: 'varchar',
    'national char': 'varchar',
    'national varchar': 'varchar',
  }
  const columns = Object.entries(samples).flatMap(([property, { column }]) => {
    const { type } = column
    if (typeof type === 'string' && (withoutTwin.includes(type) || /^(multi|geometryc)/.test(type))) return []
    const twin = types[type] ?? (/text$/.test(type) ? 'text' : /blob$|binary$/.test(type) ? 'blob' : type === 'enum' ? 'simple-enum' : type)
    return [[property, { nullable: true, type: twin, enum: column.enum }]]
  })
  return new EntitySchema<Record<string, unknown>>({
    name: 'EveryMysqlType',
    columns: { id: { type: String, primary: true }, ...Object.fromEntries(columns) },
  })
}
