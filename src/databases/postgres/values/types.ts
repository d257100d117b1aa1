import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import { isBinary } from '../../values/binary.js'
import { bounded, type ColumnType } from '../../values/columnType.js'
import { LONGEST_DATE } from '../../values/dates.js'
import { arrayType, enumType, jsonType } from '../../values/texts.js'
import { arrayOf, type ItemType, replaceItems } from './arrays.js'
import { dateType, timestampType, timestamptzType } from './dates.js'
import { dollars, moneyType, numericType, postgresFloat, postgresInteger } from './numbers.js'
import * as texts from './texts.js'

/** A type, and how pg hands it out: by its parser for the type's number, as text where it has none. */
interface PostgresType extends ItemType {
  readonly oid?: number
  readonly arrayOid?: number
  /** The server's text for a parameter, where that is another. */
  toText?(parameter: string): string
}

type Parser = (text: string) => unknown

// of the application, which may have set parsers of its own
interface Pg {
  readonly types: { getTypeParser(oid: number, format?: 'text'): Parser }
  readonly defaults?: { readonly parseInputDatesAsUTC?: boolean }
}

/**
 * How a column's values travel from and to PostgreSQL, in the settings of a transaction (PINNED): JavaScript knows booleans, numbers, dates, bytes,
 * texts, JSON and arrays of them; the server parses and spells all else.
 */
export function postgresType(column: ColumnMetadata): ColumnType {
  const pg = (column.entityMetadata.dataSource.driver as unknown as { postgres: Pg }).postgres
  const found = itemType(column, pg)
  const type = column.isArray ? arrayOf(found) : found.type
  const oid = column.isArray ? found.arrayOid : found.oid
  return {
    ...type,
    asDriverReads(parameter) {
      if (parameter === null || parameter === undefined) return null
      const { toText = String } = found
      const text = column.isArray && found.toText ? replaceItems(String(parameter), toText) : toText(String(parameter))
      return oid === undefined ? text : pg.types.getTypeParser(oid, 'text')(text)
    },
  }
}

const of = (type: ColumnType, oid?: number, arrayOid?: number): PostgresType => ({ type, oid, arrayOid })

function itemType(column: ColumnMetadata, pg: Pg): PostgresType {
  const { precision, scale } = column
  const length = Number(column.length) || undefined
  if (isBinary(column.type)) return of(texts.byteaType, 17, 1001)
  switch (column.type) {
    case 'int2':
    case 'smallint':
      return of(postgresInteger(16), 21, 1005)
    case 'int':
    case 'int4':
    case 'integer':
    case Number:
      return of(postgresInteger(32), 23, 1007)
    case 'int8':
    case 'bigint':
      return of(postgresInteger(64), 20, 1016)
    case 'numeric':
    case 'decimal':
      return of(numericType(precision, scale), 1700, 1231)
    case 'money':
      return { ...of(moneyType, 790, 791), toText: dollars }
    case 'real':
    case 'float4':
      return of(postgresFloat(4), 700, 1021)
    case 'float':
    case 'float8':
    case 'double precision':
      return of(postgresFloat(8), 701, 1022)
    case 'bool':
    case 'boolean':
    case Boolean:
      return of(booleanType, 16, 1000)
    case 'timestamptz':
    case 'timestamp with time zone':
      return { ...of(timestamptzType(precision), 1184, 1185), isReadOneByOne: true }
    case 'timestamp':
    case 'timestamp without time zone':
    case Date: {
      const parse = pg.types.getTypeParser(1114, 'text')
      return of(timestampType(precision, { parse, writesUtc: pg.defaults?.parseInputDatesAsUTC === true }), 1114, 1115)
    }
    case 'date':
      return of(dateType, 1082, 1182)
    case 'timetz':
    case 'time with time zone':
      return of(bounded(texts.timetzType, LONGEST_DATE), 1266, 1270)
    case 'bytea':
      return of(texts.byteaType, 17, 1001)
    case 'json':
      return { ...of(texts.postgresJson, 114, 199), isJson: true }
    case 'jsonb':
      return { ...of(texts.postgresJsonb, 3802, 3807), isJson: true }
    case 'geometry':
    case 'geography':
      return { ...of(texts.geoJsonType, 114), isReadOneByOne: true, isJson: true }
    case 'simple-json':
      return of({ ...jsonType(true), read: texts.readAsText })
    case 'simple-array':
      return of({ ...arrayType, read: texts.readAsText })
    case 'enum':
    case 'simple-enum':
      return of({ ...enumType(column.enum, false), read: texts.readAsText })
    case 'char':
    case 'character':
      return {
        ...of(texts.charType(length ?? 1), 1042, 1014),
        toText: text => text + ' '.repeat(Math.max((length ?? 1) - [...text].length, 0)),
      }
    case 'uuid':
      return of(texts.uuidType, 2950, 2951)
    case 'bit':
      return of(texts.bitType(length, false), 1560, 1561)
    case 'varbit':
    case 'bit varying':
      return of(texts.bitType(length, true), 1562, 1563)
    case 'tstzrange':
      return { ...of(texts.momentsType(false), 3910, 3911), isReadOneByOne: true }
    case 'tstzmultirange':
      return { ...of(texts.momentsType(true), 4534, 6153), isReadOneByOne: true }
    case 'citext':
      return of(texts.postgresText(undefined))
    case 'text':
      return textOrEnum(column, undefined, 25, 1009)
    case 'varchar':
    case 'character varying':
    case String:
      return textOrEnum(column, length, 1043, 1015)
    default:
      return spelledThere(String(column.type)) ?? textOrEnum(column, undefined)
  }
}

/** Types that the server alone parses and spells: their numbers and those of their arrays, for which pg has parsers. */
const oids: Record<string, readonly [oid: number, arrayOid: number | undefined]> = {
  ...{ time: [1083, 1183], 'time without time zone': [1083, 1183], interval: [1186, 1187] },
  ...{ inet: [869, 1041], cidr: [650, 651], macaddr: [829, 1040], macaddr8: [774, 775] },
  ...{ xml: [142, 143], jsonpath: [4072, 4073], tsvector: [3614, 3643], tsquery: [3615, 3645] },
  ...{
    point: [600, 1017],
    line: [628, 629],
    lseg: [601, 1018],
    path: [602, 1019],
    box: [603, 1020],
    polygon: [604, 1027],
    circle: [718, 719],
  },
  ...{ int4range: [3904, 3905], int8range: [3926, 3927], numrange: [3906, 3907], daterange: [3912, 3913], tsrange: [3908, 3909] },
  ...{ int4multirange: [4451, 6150], int8multirange: [4536, 6157], nummultirange: [4532, 6151] },
  ...{ datemultirange: [4535, 6155], tsmultirange: [4533, 6152] },
}
const ofExtensions = /^(hstore|ltree|cube|vector|halfvec)$/

function spelledThere(name: string): PostgresType | undefined {
  const numbers = oids[name]
  if (!numbers && !ofExtensions.test(name)) return undefined
  const delimiter = name === 'box' ? ';' : ','
  return { ...of(spelling(name), ...(numbers ?? [])), delimiter }
}

function spelling(name: string): ColumnType {
  if (/^(point|circle)$/.test(name)) return texts.pointType
  if (/^(ts|date)(multi)?range$/.test(name)) return texts.timeType
  if (/^time/.test(name)) return bounded(texts.timeType, LONGEST_DATE)
  return name === 'interval' ? bounded(texts.spelledThere, LONGEST_DATE) : texts.spelledThere
}

// of the enum of a text the database knows nothing
function textOrEnum(column: ColumnMetadata, length: number | undefined, oid?: number, arrayOid?: number): PostgresType {
  const type = column.enum ? { ...enumType(column.enum, false), read: texts.readAsText } : texts.postgresText(length)
  return of(type, oid, arrayOid)
}

const booleanType: ColumnType = {
  read: expression => expression,
  placeholder: '?',
  toWire: cell => (typeof cell === 'boolean' ? cell : !/^(|0|f|false|n|no|off)$/i.test(String(cell))),
  fromWire(value, reject) {
    // 0 and 1 are how servers of 2012 on MySQL wrote them
    if (value === true || value === 1) return true
    if (value === false || value === 0) return false
    return reject('is not true or false')
  },
}
