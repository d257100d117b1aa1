import fc from 'fast-check'
import type { EntitySchemaColumnOptions } from 'typeorm'

export interface TriedColumn {
  options: EntitySchemaColumnOptions
  /** What an application may save; none where TypeORM itself cannot. */
  saved?: fc.Arbitrary<unknown>
  /** What SQL may put there. */
  stored?: string[]
  /** The type of such a column on SQLite, where it holds the same. */
  sqlite?: EntitySchemaColumnOptions['type']
}

const text = fc.string({ unit: 'binary', maxLength: 20 }).filter(s => !s.includes('\0'))
const ints = (bits: number) => fc.bigInt(-(2n ** BigInt(bits - 1)), 2n ** BigInt(bits - 1) - 1n)
const small = fc.oneof(ints(16).map(Number), fc.constantFrom(0, -32768, 32767))
const int = fc.oneof(fc.integer(), fc.constantFrom(0, -(2 ** 31), 2 ** 31 - 1))
const big = fc.oneof(fc.integer(), ints(64).map(String), fc.constantFrom('9007199254740993', '-9223372036854775808', 2 ** 53 - 1))
const double = fc.oneof(
  fc.double({ noNaN: true }),
  fc.integer(),
  fc.constantFrom(0, 5e-324, Number.MAX_VALUE, 0.1 + 0.2, 2 ** 63, 1e15, Infinity, -Infinity),
)
const single = fc.oneof(fc.float({ noNaN: true }), fc.constantFrom(0.1, 16777217, 1e-45, 3.4028235e38, -Infinity))
const decimal = fc.oneof(
  fc.tuple(fc.integer(), fc.nat(999)).map(([a, b]) => `${a}.${b}`),
  fc.constantFrom('12345678901234567890.12', '1e400', '-0', '.5', '5.', '1.50', 'NaN', 'Infinity', '1e-20'),
)
const money = fc.tuple(fc.integer(), fc.nat(99)).map(([a, b]) => `${a}.${String(b).padStart(2, '0')}`)
const moment = fc.date({ noInvalidDate: true, min: new Date('0100-01-02T00:00:00Z'), max: new Date('9999-12-30T00:00:00Z') })
const day = fc.oneof(
  moment.map(d => d.toISOString().slice(0, 10)),
  moment,
  fc.constantFrom('2024-02-29', '0001-01-01'),
)
const two = (n: number) => String(n).padStart(2, '0')
const clock = fc.tuple(fc.nat(23), fc.nat(59), fc.nat(59)).map(parts => parts.map(two).join(':'))
const time = fc.oneof(
  clock,
  clock.map(t => t.slice(0, 5)),
  clock.map(t => `${t}.123456`),
  clock.map(t => `${t}.5+02:00`),
)
const timetz = fc.oneof(
  clock.map(t => `${t}+02`),
  clock.map(t => `${t}.25-03:30`),
  fc.constantFrom('00:00:00+15:59:59', '10:00Z'),
)
const interval = fc.oneof(
  fc.tuple(fc.integer(), fc.integer(), fc.integer({ min: -1e9, max: 1e9 })).map(([m, d, s]) => `${m} mons ${d} days ${s}.25 secs`),
  fc.constantFrom('1 year 2 mons -3 days +04:05:06.789', 'P1Y2M3DT4H5M6S', '-00:00:00.000001', '2 weeks', '0'),
)
const bytes = fc.uint8Array({ maxLength: 50 }).map(array => Buffer.from(array))
const json = fc.oneof(fc.jsonValue(), fc.constantFrom(0, -1.5, 1e21, '', '5', 'null', true, [], {}, [[null]], [1, [2]]))
const jsonb = json.filter(value => !/\\u(?:0000|d[89a-f])/.test(JSON.stringify(value)) && !JSON.stringify(value).includes('\\u0000'))
const uuid = fc.uuid()
const color = fc.constantFrom('red', 'light green', 'a,b', '7', 'q"\\')
const colors = ['red', 'light green', 'a,b', '7', 'q"\\']
const list = <T>(item: fc.Arbitrary<T>) => fc.array(item, { maxLength: 5 })
const xy = fc.tuple(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer()).map(([x, y]) => ({ x, y }))
const bits = fc.array(fc.constantFrom('0', '1'), { maxLength: 8 }).map(b => b.join(''))
const pairs = fc
  .dictionary(text, fc.option(text), { maxKeys: 4, noNullPrototype: true })
  .filter(o => Object.keys(o).every(key => key.length < 30))

const array = (type: EntitySchemaColumnOptions['type'], more: object = {}): EntitySchemaColumnOptions => ({ type, array: true, ...more })
const multi = (item: string) => [`{${item}}`, '{}', '{NULL}', `{${item},NULL}`, `{{${item}},{${item}}}`, `[3:3]={${item}}`]

export const columns: Record<string, TriedColumn> = {
  int2: { options: { type: 'int2' }, saved: small, sqlite: 'int' },
  smallint: { options: { type: 'smallint' }, saved: small, sqlite: 'int' },
  int: { options: { type: 'int' }, saved: int, sqlite: 'int' },
  int4: { options: { type: 'int4' }, saved: int, sqlite: 'int' },
  integer: { options: { type: 'integer' }, saved: int, sqlite: 'int' },
  Number: { options: { type: Number }, saved: int, sqlite: 'int' },
  int8: { options: { type: 'int8' }, saved: big, sqlite: 'bigint' },
  bigint: { options: { type: 'bigint' }, saved: big, sqlite: 'bigint' },
  numeric: { options: { type: 'numeric' }, saved: decimal, stored: ['-Infinity', '0.00', '-0.00100'] },
  decimal: { options: { type: 'decimal' }, saved: decimal },
  numeric102: { options: { type: 'numeric', precision: 12, scale: 2 }, saved: money },
  numeric3: { options: { type: 'numeric', precision: 3 }, saved: fc.integer({ min: -999, max: 999 }) },
  money: { options: { type: 'money' }, saved: money, stored: ['-92233720368547758.07', '92233720368547758.07'] },
  real: { options: { type: 'real' }, saved: single, stored: ['NaN'], sqlite: 'real' },
  float4: { options: { type: 'float4' }, saved: single },
  float: { options: { type: 'float' }, saved: double, sqlite: 'real' },
  float8: { options: { type: 'float8' }, saved: double, stored: ['NaN'] },
  double: { options: { type: 'double precision' }, saved: double, sqlite: 'real' },
  varchar: { options: { type: 'varchar' }, saved: text, sqlite: 'text' },
  varchar10: { options: { type: 'varchar', length: 10 }, saved: text.map(s => [...s].slice(0, 10).join('')) },
  String: { options: { type: String }, saved: text, sqlite: 'text' },
  varying: { options: { type: 'character varying' }, saved: text },
  char: { options: { type: 'char' }, saved: fc.constantFrom('a', ' ', '', '🎈') },
  character: { options: { type: 'character', length: 5 }, saved: fc.constantFrom('abc', 'ab   ', '', 'äöü🎈x', ' a') },
  text: { options: { type: 'text' }, saved: text, sqlite: 'text' },
  citext: { options: { type: 'citext' }, saved: text },
  hstore: { options: { type: 'hstore', hstoreType: 'object' }, saved: pairs },
  hstoreText: { options: { type: 'hstore' }, saved: fc.constantFrom('a=>1, bc=>NULL', '"b"=>"NULL","a"=>"x\\"y"', '', 'a=>1,a=>2') },
  bytea: { options: { type: 'bytea' }, saved: bytes, sqlite: 'blob' },
  bit: { options: { type: 'bit', length: 4 }, saved: fc.constantFrom('0101', '1111') },
  bit1: { options: { type: 'bit' }, saved: fc.constantFrom('0', '1') },
  varbit: { options: { type: 'varbit', length: 8 }, saved: bits },
  bitVarying: { options: { type: 'bit varying' }, saved: bits },
  timetz: { options: { type: 'timetz' }, saved: timetz },
  timeWithZone: { options: { type: 'time with time zone', precision: 2 }, saved: timetz },
  timestamptz: {
    options: { type: 'timestamptz' },
    saved: moment,
    stored: ['infinity', '-infinity', '0001-01-01 00:00:00+00 BC', '2026-03-29 01:30:00.999999+00'],
    sqlite: 'datetime',
  },
  withZone: { options: { type: 'timestamp with time zone', precision: 1 }, saved: moment },
  timestamp: {
    options: { type: 'timestamp' },
    saved: moment,
    stored: ['infinity', '1969-12-31 23:59:59.999999', '2026-03-29 02:30:00'],
    sqlite: 'datetime',
  },
  Date: { options: { type: Date }, saved: moment, sqlite: 'datetime' },
  withoutZone: { options: { type: 'timestamp without time zone', precision: 0 }, saved: moment },
  date: { options: { type: 'date' }, saved: day, stored: ['infinity', '-infinity', '0001-12-31 BC'], sqlite: 'date' },
  time: { options: { type: 'time' }, saved: time, stored: ['24:00:00'], sqlite: 'time' },
  timeWithout: { options: { type: 'time without time zone', precision: 3 }, saved: time },
  interval: {
    options: { type: 'interval' },
    saved: interval,
    stored: ['-178956970 years -8 mons -2147483648 days', '178956970 years 7 mons'],
  },
  interval2: { options: { type: 'interval', precision: 2 }, saved: interval },
  bool: { options: { type: 'bool' }, saved: fc.boolean(), sqlite: 'boolean' },
  boolean: { options: { type: 'boolean' }, saved: fc.boolean(), sqlite: 'boolean' },
  Boolean: { options: { type: Boolean }, saved: fc.boolean(), sqlite: 'boolean' },
  enum: { options: { type: 'enum', enum: colors }, saved: color, sqlite: 'text' },
  numbers: { options: { type: 'enum', enum: [1, 7] as never[] }, saved: fc.constantFrom(1, 7) },
  simpleEnum: { options: { type: 'simple-enum', enum: colors }, saved: color },
  choice: { options: { type: 'varchar', enum: colors }, saved: color },
  point: { options: { type: 'point' }, saved: xy, stored: ['(1e20,-1e-7)', '(0,Infinity)'] },
  line: { options: { type: 'line' }, stored: ['{1,2.5,3}', '{0.1,-0.2,1e300}'] },
  lseg: { options: { type: 'lseg' }, stored: ['[(0.1,2),(3,1e15)]'] },
  box: { options: { type: 'box' }, stored: ['(1,2),(3,0.1)', '(3,4),(1,2)'] },
  path: { options: { type: 'path' }, stored: ['[(1,2),(3,4)]', '((1,2))', '((1,2),(3,0.30000000000000004))'] },
  polygon: { options: { type: 'polygon' }, stored: ['((1,2))', '((0,0),(1,0.1),(1,0))'] },
  circle: { options: { type: 'circle' }, saved: xy.map(p => ({ ...p, radius: 0.1 })), stored: ['<(1,2),0>'] },
  cidr: { options: { type: 'cidr' }, stored: ['10.0.0.0/8', '::/0', '2001:db8::/32', '1.2.3.4', '::ffff:0:0/96', '0.0.0.0/0'] },
  inet: {
    options: { type: 'inet' },
    stored: [
      '10.1.2.3/8',
      '::1',
      'fe80::1/64',
      '::ffff:1.2.3.4',
      '2001:DB8:0:0:1:0:0:1',
      '::1.2.3.4',
      '1:0:0:2:0:0:0:3',
      '::',
      '1:0:2:3:4:5:6:7',
    ],
  },
  macaddr: { options: { type: 'macaddr' }, stored: ['08:00:2B:01:02:03', '08-00-2b-01-02-03'] },
  macaddr8: { options: { type: 'macaddr8' }, stored: ['08:00:2b:01:02:03:04:05'] },
  tsvector: { options: { type: 'tsvector' }, stored: [`'fat':2A,4 'cat':3 'a b' 'it''s' 'b\\\\c':1,1B`, '', `b aa a`, `'ä':16383`] },
  tsquery: { options: { type: 'tsquery' }, stored: [`'fat' & ( 'rat' | !'cat':*AB )`, `'a' <-> 'b' <2> 'it''s'`, ''] },
  uuid: { options: { type: 'uuid' }, saved: uuid },
  xml: {
    options: { type: 'xml' },
    stored: [
      '<a b="1">x &amp; y<c/></a>',
      'text &#228; <!-- c - c --><![CDATA[ <x> ]]>',
      '',
      '<n:a xmlns:n="urn:x"/>',
      '<?xml version="1.0"?><a/>',
    ],
  },
  json: { options: { type: 'json' }, saved: json, sqlite: 'json' },
  jsonb: { options: { type: 'jsonb' }, saved: jsonb, sqlite: 'jsonb' },
  jsonpath: { options: { type: 'jsonpath' }, stored: ['$."a"[*]?(@."b" > 1)', 'strict $', '$'] },
  int4range: {
    options: { type: 'int4range' },
    stored: ['[1,5)', '(1,5]', 'empty', '(,)', '[,3]', '(2147483646,2147483647)', '[1,1]', '[1,1)', '(1,2)'],
  },
  int8range: { options: { type: 'int8range' }, stored: ['[9007199254740993,9223372036854775807)'] },
  numrange: { options: { type: 'numrange' }, stored: ['[1.50,2]', '(1.5,1.50)', '[1.5,1.50]', '(,1e3)'] },
  tsrange: {
    options: { type: 'tsrange' },
    stored: ['[2026-01-31 10:00,2026-02-01)', '(,infinity]', 'empty', '["2026-01-01 00:00:00.123456",)'],
  },
  tstzrange: {
    options: { type: 'tstzrange' },
    stored: ['[2026-01-31 10:00+02,2026-02-01 00:00+00)', '(-infinity,"2026-01-01 00:00:00.5+05:30"]'],
  },
  daterange: {
    options: { type: 'daterange' },
    stored: ['[2026-01-31,2026-02-28]', '(2026-01-01,2026-01-02)', '(2026-01-01,infinity]', '[-infinity,)'],
  },
  int4multirange: { options: { type: 'int4multirange' }, stored: ['{[1,3),[5,8]}', '{}'] },
  int8multirange: { options: { type: 'int8multirange' }, stored: ['{[1,3)}'] },
  nummultirange: { options: { type: 'nummultirange' }, stored: ['{[1.5,3),(5,)}'] },
  tsmultirange: { options: { type: 'tsmultirange' }, stored: ['{[2026-01-31 10:00,2026-02-01),[2026-03-01,infinity]}', '{}'] },
  tstzmultirange: { options: { type: 'tstzmultirange' }, stored: ['{[2026-01-31 10:00+02,)}'] },
  datemultirange: { options: { type: 'datemultirange' }, stored: ['{[2026-01-31,2026-02-01],[2026-03-01,2026-03-05)}'] },
  cube: { options: { type: 'cube' }, saved: fc.array(fc.integer(), { minLength: 1, maxLength: 4 }), stored: ['(1),(1)'] },
  ltree: { options: { type: 'ltree' }, saved: fc.constantFrom('a.b.c', '', 'Top.Science_1') },
  simpleArray: {
    options: { type: 'simple-array' },
    saved: list(text.filter(s => !s.includes(','))).filter(l => l.length !== 1 || l[0] !== ''),
    sqlite: 'simple-array',
  },
  simpleJson: { options: { type: 'simple-json' }, saved: json, sqlite: 'simple-json' },
  ints: { options: array('int'), saved: list(fc.option(int)), stored: multi('5') },
  bigs: { options: array('bigint'), saved: list(big), stored: multi('9007199254740993') },
  numerics: { options: array('numeric', { precision: 10, scale: 2 }), stored: multi('1.50') },
  doubles: { options: array('float8'), saved: list(double), stored: multi('0.30000000000000004') },
  singles: { options: array('real'), saved: list(single), stored: multi('0.1') },
  texts: { options: array('text'), saved: list(fc.option(text)), stored: multi('"a,\\"b\\\\{}"') },
  varchars: { options: array('varchar', { length: 3 }), saved: list(fc.constantFrom('', 'a b', 'NUL', '{}')) },
  chars: { options: array('char', { length: 5 }), stored: multi('ab') },
  citexts: { options: array('citext'), stored: multi('"NULL"') },
  uuids: { options: array('uuid'), saved: list(uuid) },
  booleans: { options: array('boolean'), saved: list(fc.boolean()), stored: multi('t') },
  moments: { options: array('timestamptz'), saved: list(moment), stored: multi('infinity') },
  timestamps: { options: array('timestamp'), saved: list(moment), stored: multi('"2026-01-31 10:00:00"') },
  days: { options: array('date'), stored: multi('2026-01-31') },
  times: { options: array('time'), saved: list(clock) },
  intervals: { options: array('interval'), stored: multi('"1 day 02:00:00"') },
  blobs: { options: array('bytea'), saved: list(bytes), stored: multi('"\\\\x00ff"') },
  jsons: { options: array('json'), stored: ['{"{\\"a\\": [1]}","[1]","\\"5\\"",NULL}', '{}'] },
  jsonbs: { options: array('jsonb'), stored: ['{"{\\"a\\": [1]}","[1]",5,NULL}', '{}'] },
  enums: { options: array('enum', { enum: ['red', 'light green', '7'] }), saved: list(fc.constantFrom('red', 'light green', '7')) },
  enumNumbers: { options: array('enum', { enum: [1, 7] }), saved: list(fc.constantFrom(1, 7)) },
  boxes: { options: array('box'), stored: ['{(1,1),(0,0);(3,3),(2,2)}', '{}'] },
  pointList: { options: array('point'), stored: ['{"(1,2)","(0.1,3)"}'] },
  rangeList: { options: array('daterange'), stored: ['{"[2026-01-01,2026-01-05)",empty}'] },
  hstores: { options: array('hstore'), stored: ['{"\\"a\\"=>\\"1\\""}'] },
  moneys: { options: array('money'), stored: ['{1.00,-2.50}'] },
  cubes: {
    options: array('cube'),
    saved: fc.constantFrom(
      [
        [1, 2, 3],
        [4, 5],
      ],
      [],
    ),
  },
  inets: { options: array('inet'), stored: multi('10.0.0.1') },
}
