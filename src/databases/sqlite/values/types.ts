import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import type { Json } from '../../../protocol/messages.js'
import { decodeBase64, encodeBase64 } from '../../values/base64.js'
import { isBinary } from '../../values/binary.js'
import { bounded, bytesOf, type ColumnType, textOf } from '../../values/columnType.js'
import { LONGEST_DATE, toIsoDateTime, toPlainDate, toPlainTime } from '../../values/dates.js'
import { arrayType, enumType, jsonbType, jsonType, textType } from '../../values/texts.js'
import { decimalType, integerType, realType } from './numbers.js'

const asItIs = { read: (expression: string) => expression, placeholder: '?' }

/** How a column's values travel from and to SQLite, whatever its driver. */
export function sqliteType(column: ColumnMetadata): ColumnType {
  if (column.type === 'blob' || isBinary(column.type)) return blobType(Number(column.length) || undefined)
  switch (column.type) {
    case 'boolean':
    case Boolean:
      return booleanType
    case 'datetime':
    case Date:
      return dateTimeType
    case 'date':
      return dateType
    case 'time':
      return timeType
    case 'simple-json':
      return jsonType(true)
    case 'json':
      return jsonType(false)
    case 'jsonb':
      return jsonbType
    case 'simple-array':
      return arrayType
    case 'simple-enum':
    case 'enum':
      return enumType(column.enum, column.isArray)
    case 'real':
    case 'double':
    case 'double precision':
    case 'float':
      return realType
    case 'numeric':
    case 'decimal':
      return decimalType(column.precision, column.scale)
    case 'int':
    case 'integer':
    case 'tinyint':
    case 'smallint':
    case 'mediumint':
    case 'bigint':
    case 'unsigned big int':
    case 'int2':
    case 'int8':
    case Number:
      return integerType
    default:
      return column.enum ? enumType(column.enum, false) : textType(Number(column.length) || undefined)
  }
}

const booleanType: ColumnType = {
  ...asItIs,
  toWire: cell => (typeof cell === 'number' || typeof cell === 'boolean' ? Boolean(cell) : !/^(|0|f|false|n|no|off)$/i.test(textOf(cell))),
  fromWire(value, reject) {
    // 0 and 1 are how servers of 2012 on MySQL wrote them
    if (value === true || value === 1) return 1
    if (value === false || value === 0) return 0
    return reject('is not true or false')
  },
}

const dateTimeType = bounded(
  {
    ...asItIs,
    isDate: true,
    toWire: cell => toIsoDateTime(typeof cell === 'number' ? cell : textOf(cell)) ?? textOrNumber(cell),
    fromWire(value, reject) {
      const date = typeof value === 'string' || typeof value === 'number' ? toIsoDateTime(value) : undefined
      return date === undefined ? reject('is not a date with time') : date.replace('T', ' ').slice(0, -1)
    },
  },
  LONGEST_DATE,
)

const dateType = bounded(
  {
    ...asItIs,
    isDate: true,
    toWire: textOf,
    fromWire(value, reject) {
      const date = typeof value === 'string' || typeof value === 'number' ? toPlainDate(value) : undefined
      return date ?? reject('is not a date')
    },
  },
  LONGEST_DATE,
)

const timeType = bounded(
  {
    ...asItIs,
    toWire: textOf,
    fromWire: (value, reject) => (typeof value === 'string' ? toPlainTime(value) : undefined) ?? reject('is not a time'),
  },
  LONGEST_DATE,
)

function blobType(length: number | undefined): ColumnType {
  return {
    ...asItIs,
    toWire: cell => encodeBase64(bytesOf(cell) ?? new TextEncoder().encode(String(cell))),
    fromWire(value, reject) {
      const bytes = typeof value === 'string' ? decodeBase64(value) : undefined
      if (!bytes) return reject('is not base64')
      return length !== undefined && bytes.length > length ? reject(`is longer than ${length} bytes`) : bytes
    },
  }
}

function textOrNumber(cell: unknown): Json {
  return typeof cell === 'number' && Number.isFinite(cell) ? cell : textOf(cell)
}
