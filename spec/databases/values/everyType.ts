import fc from 'fast-check'
import { type ColumnType, EntitySchema } from 'typeorm'

const bytes = fc.uint8Array({ maxLength: 300 }).map(array => Buffer.from(array))
// sql.js itself does not find a byte order mark at a text's beginning: rejects.spec.ts looks after it
const text = fc.string({ unit: 'binary' }).filter(s => !s.includes('\0') && !s.startsWith('\ufeff'))
const digits = fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n).map(String)
const integer = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  digits,
  fc.constantFrom(0, -0, 2 ** 53, '9007199254740993', '-9223372036854775808', '9223372036854775807', 1.5),
)
// TypeORM writes numbers into the statement's text, so it cannot save Infinity
const real = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.integer(),
  fc.constantFrom(0, -0, 5e-324, Number.MAX_VALUE, 0.1 + 0.2, 2 ** 63, 1e15),
)
const decimal = fc.oneof(
  real,
  digits,
  fc.tuple(fc.integer(), fc.nat(99)).map(([a, b]) => `${a}.${String(b).padStart(2, '0')}`),
  fc.constantFrom('12345678901234567890', '0.30000000000000004', '1e400', '-0', '-0.0', '.5', '9223372036854775808', '9007199254740993'),
)
const day = fc.date({ noInvalidDate: true, min: new Date('1000-01-02T00:00:00Z'), max: new Date('9999-12-30T00:00:00Z') })
const clock = fc.tuple(fc.nat(23), fc.nat(59), fc.nat(59))
const two = (n: number) => String(n).padStart(2, '0')
const time = fc.oneof(
  day,
  clock.map(([h, m]) => `${two(h)}:${two(m)}`),
  clock.map(([h, m, s]) => `${two(h)}:${two(m)}:${two(s)}`),
  clock.map(([h, m, s]) => `${h}:${m}:${s}`),
  clock.map(([h, m, s]) => `${two(h)}:${two(m)}:${two(s)}.123456+02:00`),
)
const date = fc.oneof(
  day,
  day.map(d => d.toISOString().slice(0, 10)),
  fc.constantFrom('0001-01-01', '2024-02-29', '2026-03-29', '2026-1-5'),
)
const json = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom(0, -1.5, 0.1 + 0.2, 2 ** 60, 1e21, 5e-324, '', '5', 'null', 'a\0\ud800b', true, [], {}, [[null]]),
)

/** What an application may save in a column of each type. */
export const values: Record<string, fc.Arbitrary<unknown>> = {
  int: integer,
  integer,
  tinyint: integer,
  smallint: integer,
  mediumint: integer,
  bigint: integer,
  'unsigned big int': integer,
  int2: integer,
  int8: integer,
  character: text,
  varchar: text,
  'varying character': text,
  nchar: text,
  'native character': text,
  nvarchar: text,
  text,
  clob: text,
  blob: bytes,
  real,
  double: real,
  'double precision': real,
  float: real,
  numeric: decimal,
  decimal,
  boolean: fc.boolean(),
  date,
  time,
  datetime: day,
  json,
  jsonb: json,
  'simple-json': json,
  'simple-array': fc.array(text),
  'simple-enum': fc.constantFrom('red', 'light green', '7'),
}

/** An entity with a column of each type; the type is the property's name. */
export const EveryType = new EntitySchema<Record<string, unknown>>({
  name: 'EveryType',
  columns: {
    id: { type: String, primary: true },
    ...Object.fromEntries(
      Object.keys(values).map(type => [
        type,
        { type: type as ColumnType, nullable: true, enum: type === 'simple-enum' ? ['red', 'light green', '7'] : undefined },
      ]),
    ),
  },
})
