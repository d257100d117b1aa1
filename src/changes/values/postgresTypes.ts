import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import { isBinary } from './binary.js'
import type { ColumnType } from './columnType.js'
import { arrayOf, type ItemType, replaceItems } from './postgresArrays.js'
import { dateType, timestampType, timestamptzType, timeType, timetzType } from './postgresDates.js'
import { intervalType } from './postgresIntervals.js'
import { dollars, moneyType, numericType, postgresFloat, postgresInteger } from './postgresNumbers.js'
import { isSessionRange, multirangeType, rangeType } from './postgresRanges.js'
import { cubeType, shapeType, vectorType } from './postgresShapes.js'
import * as texts from './postgresTexts.js'
import { arrayType, enumType, jsonType } from './texts.js'

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

/** How a column's values travel from and to PostgreSQL, whatever the settings of its session. */
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

const plain = (type: ColumnType, oid?: number, arrayOid?: number): PostgresType => ({ type, isPlain: true, oid, arrayOid })
const bySession = (type: ColumnType, oid?: number, arrayOid?: number): PostgresType => ({ type, isPlain: false, oid, arrayOid })

function itemType(column: ColumnMetadata, pg: Pg): PostgresType {
  const { precision, scale } = column
  const length = Number(column.length) || undefined
  if (isBinary(column.type)) return bySession(texts.byteaType, 17, 1001)
  switch (column.type) {
    case 'int2':
    case 'smallint':
      return plain(postgresInteger(16), 21, 1005)
    case 'int':
    case 'int4':
    case 'integer':
    case Number:
      return plain(postgresInteger(32), 23, 1007)
    case 'int8':
    case 'bigint':
      return plain(postgresInteger(64), 20, 1016)
    case 'numeric':
    case 'decimal':
      return plain(numericType(precision, scale), 1700, 1231)
    case 'money':
      return { ...bySession(moneyType, 790, 791), toText: dollars }
    case 'real':
    case 'float4':
      return bySession(postgresFloat(4), 700, 1021)
    case 'float':
    case 'float8':
    case 'double precision':
      return bySession(postgresFloat(8), 701, 1022)
    case 'bool':
    case 'boolean':
    case Boolean:
      return plain(booleanType, 16, 1000)
    case 'timestamptz':
    case 'timestamp with time zone':
      return bySession(timestamptzType(precision), 1184, 1185)
    case 'timestamp':
    case 'timestamp without time zone':
    case Date: {
      const parse = pg.types.getTypeParser(1114, 'text')
      return bySession(timestampType(precision, { parse, writesUtc: pg.defaults?.parseInputDatesAsUTC === true }), 1114, 1115)
    }
    case 'date':
      return bySession(dateType, 1082, 1182)
    case 'time':
    case 'time without time zone':
      return plain(timeType(precision), 1083, 1183)
    case 'timetz':
    case 'time with time zone':
      return plain(timetzType(precision), 1266, 1270)
    case 'interval':
      return bySession(intervalType(precision), 1186, 1187)
    case 'bytea':
      return bySession(texts.byteaType, 17, 1001)
    case 'json':
      return { ...plain(texts.postgresJson, 114, 199), isJson: true }
    case 'jsonb':
      return { ...plain(texts.postgresJsonb, 3802, 3807), isJson: true }
    case 'geometry':
    case 'geography':
      return { ...bySession(texts.geoJsonType, 114), isJson: true }
    case 'simple-json':
      return plain({ ...jsonType(true), read: texts.readAsText })
    case 'simple-array':
      return plain({ ...arrayType, read: texts.readAsText })
    case 'enum':
    case 'simple-enum':
      return plain({ ...enumType(column.enum, false), read: texts.readAsText })
    case 'char':
    case 'character':
      return {
        ...plain(texts.charType(length ?? 1), 1042, 1014),
        toText: text => text + ' '.repeat(Math.max((length ?? 1) - [...text].length, 0)),
      }
    case 'uuid':
      return plain(texts.uuidType, 2950, 2951)
    case 'bit':
      return plain(texts.bitType(length, false), 1560, 1561)
    case 'varbit':
    case 'bit varying':
      return plain(texts.bitType(length, true), 1562, 1563)
    case 'inet':
      return plain(texts.inetType, 869, 1041)
    case 'cidr':
      return plain(texts.cidrType, 650, 651)
    case 'macaddr':
      return plain(texts.macaddrType, 829, 1040)
    case 'macaddr8':
      return plain(texts.macaddr8Type, 774, 775)
    case 'tsvector':
      return plain(texts.tsvectorType, 3614, 3643)
    case 'tsquery':
      return plain(texts.tsqueryType, 3615, 3645)
    case 'xml':
      return plain(texts.xmlType, 142, 143)
    case 'jsonpath':
      return plain(texts.jsonpathType, 4072, 4073)
    case 'hstore':
      return plain(texts.hstoreType)
    case 'ltree':
      return plain(texts.ltreeType)
    case 'cube':
      return plain(cubeType)
    case 'vector':
    case 'halfvec':
      return plain(vectorType(length))
    case 'citext':
      return plain(texts.postgresText(undefined))
    case 'text':
      return textOrEnum(column, undefined, 25, 1009)
    case 'varchar':
    case 'character varying':
    case String:
      return textOrEnum(column, length, 1043, 1015)
    default:
      return shapeOrRange(String(column.type)) ?? textOrEnum(column, undefined)
  }
}

const shapeOids: Record<string, [number, number]> = {
  point: [600, 1017],
  lseg: [601, 1018],
  path: [602, 1019],
  box: [603, 1020],
  polygon: [604, 1027],
  line: [628, 629],
  circle: [718, 719],
}

const rangeArrayOids: Record<string, number> = { int4: 3905, num: 3907, ts: 3909, tstz: 3911, date: 3913, int8: 3927 }

function shapeOrRange(name: string): PostgresType | undefined {
  const oids = shapeOids[name]
  if (oids) return { ...bySession(shapeType(name), ...oids), delimiter: name === 'box' ? ';' : ',' }
  const [, subtype, multi] = /^(int4|int8|num|ts|tstz|date)(multi)?range$/.exec(name) ?? []
  if (subtype === undefined) return undefined
  const type = multi ? multirangeType(subtype) : rangeType(subtype)
  return { type, isPlain: !isSessionRange(subtype), arrayOid: multi ? undefined : rangeArrayOids[subtype] }
}

// of the enum of a text the database knows nothing
function textOrEnum(column: ColumnMetadata, length: number | undefined, oid?: number, arrayOid?: number): PostgresType {
  const type = column.enum ? { ...enumType(column.enum, false), read: texts.readAsText } : texts.postgresText(length)
  return plain(type, oid, arrayOid)
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
