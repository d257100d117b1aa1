import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js'
import { SyncConfigurationError } from '../../../errors.js'
import type { Json } from '../../../protocol/messages.js'
import { decodeBase64, encodeBase64 } from '../../values/base64.js'
import { bytesOf, type ColumnType, type Reject, textOf, withoutSpacesAtEnd } from '../../values/columnType.js'
import { arrayType, enumType, jsonType, textType } from '../../values/texts.js'
import { dateTimeType, dateType, timeType, yearType } from './dates.js'
import { bitType, booleanType, decimalType, integerType, realType } from './numbers.js'
import { type MysqlSettings, settingsOf } from './settings.js'
import { addressType, geometryType } from './texts.js'

const asItIs = { read: (expression: string) => expression, placeholder: '?' }

const bitsOf = { tinyint: 8, smallint: 16, mediumint: 24, int: 32, bigint: 64 }

// in bytes
const sizes = {
  tinytext: 255,
  tinyblob: 255,
  text: 65_535,
  blob: 65_535,
  mediumtext: 16_777_215,
  mediumblob: 16_777_215,
  longtext: 4_294_967_295,
  longblob: 4_294_967_295,
}

/** How a column's values travel from and to MySQL and MariaDB, whatever the settings of its connection. */
export function mysqlType(column: ColumnMetadata): ColumnType {
  const { driver } = column.entityMetadata.dataSource
  const settings = settingsOf(column)
  const isUnsigned = column.unsigned === true
  const length = Number(column.length) || undefined
  if (column.type === Boolean || column.type === 'bool' || column.type === 'boolean') return booleanType
  if (column.type === 'simple-array') return within({ ...arrayType, ...asItIs }, sizes.text, column, settings)
  if (column.type === 'simple-json') return within(jsonType(true), sizes.text, column, settings)
  const type = driver.normalizeType(column)
  switch (type) {
    case 'tinyint':
    case 'smallint':
    case 'mediumint':
    case 'int':
    case 'bigint':
      return integerType(bitsOf[type], isUnsigned, settings)
    case 'bit':
      return bitType(1, toBuffer, settings)
    case 'decimal':
      return decimalType(column.precision ?? 10, column.scale ?? 0, isUnsigned, settings)
    case 'float':
    case 'double':
      return realColumn(type, column)
    case 'datetime':
      return dateTimeType('DATETIME', column.precision ?? 0, settings)
    case 'timestamp':
      return dateTimeType('TIMESTAMP', column.precision ?? 0, settings)
    case 'date':
      return dateType(settings)
    case 'time':
      return timeType(column.precision ?? 0)
    case 'year':
      return yearType
    case 'char':
      return charType(length ?? 1, column, settings)
    case 'varchar':
      return within({ ...textType(length ?? 255), ...asItIs }, undefined, column, settings)
    case 'tinytext':
    case 'text':
    case 'mediumtext':
    case 'longtext':
      return column.type === 'json'
        ? jsonColumn(column, settings)
        : within({ ...textType(undefined), ...asItIs }, sizes[type], column, settings)
    case 'binary':
      return binaryType(length ?? 1, true)
    case 'varbinary':
      return binaryType(length ?? 255, false)
    case 'tinyblob':
    case 'blob':
    case 'mediumblob':
    case 'longblob':
      return binaryType(sizes[type], false)
    case 'enum':
      return { ...enumType(column.enum?.map(withoutSpaces), false), ...asItIs }
    case 'set':
      return setType(column.enum?.map(item => String(withoutSpaces(item))) ?? [])
    case 'json':
      return jsonColumn(column, settings)
    case 'uuid':
    case 'inet4':
    case 'inet6':
      return addressType
    case 'geometry':
    case 'point':
    case 'linestring':
    case 'polygon':
    case 'multipoint':
    case 'multilinestring':
    case 'multipolygon':
    case 'geometrycollection':
      return geometryType(type, column.srid, settings.legacySpatialSupport === true)
    default:
      throw new SyncConfigurationError(
        `${column.entityMetadata.name}.${column.propertyPath}: columns of type ${type} cannot be synchronised`,
      )
  }
}

function realColumn(type: 'float' | 'double', { precision, scale, unsigned }: ColumnMetadata): ColumnType {
  const hasDigits = typeof precision === 'number' && typeof scale === 'number'
  return realType({
    // float(25) and more is a double
    isSingle: type === 'float' && (hasDigits || (precision ?? 0) < 25),
    isUnsigned: unsigned === true,
    digits: hasDigits ? [precision, scale] : undefined,
  })
}

/** `char(n)`: the server keeps no spaces at the end. */
function charType(length: number, column: ColumnMetadata, settings: MysqlSettings): ColumnType {
  const type = textType(length)
  const trimmed: ColumnType = {
    ...asItIs,
    toWire: cell => withoutSpaces(textOf(cell)),
    fromWire: (value, reject) => type.fromWire(typeof value === 'string' ? withoutSpaces(value) : value, reject),
  }
  return within(trimmed, undefined, column, settings)
}

/** Rejects what the column has no room for, or its character set (and the connection's) no characters. */
function within(type: ColumnType, bytes: number | undefined, column: ColumnMetadata, settings: MysqlSettings): ColumnType {
  const stored = charsetOf(column.charset ?? column.collation)
  return {
    ...type,
    fromWire(value, reject) {
      const text = type.fromWire(value, reject) as string
      if (bytes !== undefined && bytesIn(stored, text) > bytes) return reject(`is longer than ${bytes} bytes`)
      return checked(text, [stored, charsetOf(settings.charset)], reject)
    },
  }
}

function charsetOf(name: string | undefined): string {
  return name?.split('_')[0]?.toLowerCase() || 'utf8mb4'
}

// what each lacks; of others that much is sure
const nothing = /(?!)/
const beyondTwoBytes = /[\ud800-\udfff]/
const lacks: Record<string, RegExp> = {
  utf8mb4: nothing,
  utf16: nothing,
  utf16le: nothing,
  utf32: nothing,
  utf8: beyondTwoBytes,
  utf8mb3: beyondTwoBytes,
  ucs2: beyondTwoBytes,
  latin1: /[^\0-\x7f\xa0-\xff]/,
}
const beyondAscii = /[^\0-\x7f]/

function checked(text: string, names: readonly string[], reject: Reject): string {
  const lacking = names.find(name => (lacks[name] ?? beyondAscii).test(text))
  return lacking === undefined ? text : reject(`has characters that the character set ${lacking} may not have`)
}

function bytesIn(charset: string, text: string): number {
  if (charset.startsWith('utf16') || charset === 'ucs2') return text.length * 2
  if (charset === 'utf32') return [...text].length * 4
  return new TextEncoder().encode(text).length
}

/** Bytes; `binary(n)` is filled up with zeros. */
function binaryType(length: number, isPadded: boolean): ColumnType {
  const filled = (bytes: Uint8Array) => {
    if (!isPadded || bytes.length >= length) return bytes
    const all = new Uint8Array(length)
    all.set(bytes)
    return all
  }
  return {
    ...asItIs,
    toWire: cell => encodeBase64(filled(bytesOf(cell) ?? new TextEncoder().encode(String(cell)))),
    fromWire(value, reject) {
      const bytes = typeof value === 'string' ? decodeBase64(value) : undefined
      if (!bytes) return reject('is not base64')
      return bytes.length > length ? reject(`is longer than ${length} bytes`) : filled(bytes)
    },
    asDriverReads: parameter => (parameter instanceof Uint8Array ? toBuffer(parameter) : parameter),
  }
}

/** `set`: an array of strings, in the order in which the column lists them, as the server gives them back. */
function setType(list: readonly string[]): ColumnType {
  const text = (items: readonly string[]) => list.filter(item => items.includes(item)).join(',')
  return {
    ...asItIs,
    toWire(cell) {
      const items = textOf(cell)
        .split(',')
        .filter(item => item !== '')
      return items.every(item => list.includes(item)) ? text(items).split(',').filter(Boolean) : items
    },
    fromWire(value, reject) {
      if (!Array.isArray(value)) return reject('is not an array of strings')
      const items = value.map(item =>
        typeof item === 'string' || typeof item === 'number' ? String(item) : reject('is not an array of strings'),
      )
      return items.every(item => item !== '' && list.includes(item))
        ? text(items)
        : reject('has an item that is not one of the listed values')
    },
  }
}

// Levels of JSON: MariaDB's and MySQL's own limits. A server of version 10 or later is a MariaDB, whatever TypeORM's options say.
function deepestJson({ entityMetadata: { dataSource } }: ColumnMetadata): number {
  const { options, driver } = dataSource
  return options.type === 'mariadb' || Number.parseInt(driver.version ?? '0', 10) >= 10 ? 31 : 100
}

function jsonColumn(column: ColumnMetadata, settings: MysqlSettings): ColumnType {
  const type = jsonType(true)
  return {
    ...type,
    // a JSON column's text has no character set of its own, and mysql2 may parse it
    read: expression => `CAST(${expression} AS CHAR)`,
    fromWire(value, reject) {
      const text = type.fromWire(value, reject) as string
      const deepest = deepestJson(column)
      if (levelsOf(value) > deepest) return reject(`is nested deeper than ${deepest} levels`)
      // JSON.stringify escapes half a character, and the server rejects it
      if (text.includes('\\ud') && hasHalfCharacters(value)) return reject('contains half a character (a lone surrogate)')
      return checked(text, [charsetOf(settings.charset)], reject)
    },
    // mysql2 parses it, and TypeORM a second time where that gave a text
    asDriverReads: parameter => (typeof parameter === 'string' && !settings.jsonStrings ? JSON.parse(parameter) : parameter),
  }
}

function hasHalfCharacters(value: Json): boolean {
  if (typeof value === 'string') return /\p{Surrogate}/u.test(value)
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.entries(value).some(([key, item]) => hasHalfCharacters(key) || hasHalfCharacters(item))
  )
}

function levelsOf(value: Json): number {
  if (typeof value !== 'object' || value === null) return 0
  return 1 + Object.values(value).reduce<number>((deepest, item) => Math.max(deepest, levelsOf(item)), 0)
}

function withoutSpaces<T extends string | number>(item: T): T {
  return (typeof item === 'string' ? withoutSpacesAtEnd(item) : item) as T
}

function toBuffer(bytes: Uint8Array): Uint8Array {
  const buffer = (globalThis as { Buffer?: { from(data: ArrayBufferLike, start: number, length: number): Uint8Array } }).Buffer
  return buffer ? buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) : bytes
}
